/* Kernels chosen by timing them, in place of the estimate in layer.c. */
#include "net.h"

#include <stdlib.h>

enum { MOST_INPUTS = 8, ROUNDS = 9 };

/* Another way must be faster by so much: what is less changes from one run to the next. */
static const double WORTH = 0.97;
/* One that takes as many times as long the first time is not timed any further. */
static const double HOPELESS = 3;

typedef struct {
    st_net *net;
    int inputs;
    Context at[MOST_INPUTS]; /* of each input, all with the same scratch memory */
    Scratch room;
    uint64_t state; /* bytes, the largest that was needed */
} Tuner;

static void tuner_free(Tuner *t) {
    for (int i = 0; i < t->inputs; i++) free(t->at[i].arena);
    free(t->at[0].shared);
    free(t->at[0].own);
    for (int i = 0; i < t->inputs; i++) free(t->at[i].state);
}

/* A step's own state lies behind that of the net, whose held registers are needed; at rest. */
static bool put_state(Tuner *t, Step *s) {
    const st_net *net = t->net;
    if (!net->stepwise) return true;
    s->state_at = round_up((size_t)net->state, ALIGN);
    const uint64_t bytes = s->state_at + s->state_bytes;
    for (int i = 0; i < t->inputs; i++) {
        uint8_t *old = t->at[i].state;
        if (!old || bytes > t->state) {
            t->at[i].state = aligned_room(bytes);
            if (old && t->at[i].state) memcpy(t->at[i].state, old, (size_t)net->state);
            free(old);
        }
        if (!t->at[i].state) return false;
        uint8_t *own = t->at[i].state + s->state_at;
        memset(own, 0, (size_t)s->state_bytes);
        for (uint64_t k = 0; k < s->resting; k++) ((float *)(void *)own)[k] = s->rest;
    }
    if (bytes > t->state) t->state = bytes;
    return true;
}

/* Scratch memory for a step, beside what there was. */
static bool make_room(Tuner *t, const Scratch *wanted) {
    if (t->at[0].own && wanted->shared <= t->room.shared && wanted->own <= t->room.own) return true;
    scratch_most(&t->room, wanted);
    free(t->at[0].shared);
    free(t->at[0].own);
    t->at[0].shared = aligned_room(t->room.shared);
    t->at[0].own = aligned_room(t->room.own);
    for (int i = 1; i < t->inputs; i++) {
        t->at[i].shared = t->at[0].shared;
        t->at[i].own = t->at[0].own;
    }
    return t->at[0].shared && t->at[0].own;
}

static bool tuner_make(Tuner *t, st_net *net, const float *x, int64_t n) {
    *t = (Tuner){.net = net, .inputs = n < MOST_INPUTS ? (int)n : MOST_INPUTS};
    bool good = true;
    for (int i = 0; i < t->inputs; i++) {
        t->at[i].input = x + (size_t)i * reg_values(&net->p.regs[0]);
        t->at[i].arena = aligned_room(net->arena);
        good = good && t->at[i].arena;
    }
    return make_room(t, &net->scratch) && good;
}

static double time_once(const Tuner *t, const Step *step, int input) {
    const double from = now_us();
    run_step(t->net, step, &t->at[input]);
    return now_us() - from;
}

/* Microseconds of two ways, in turns: of each input the shortest, added up. */
static void time_both(const Tuner *t, const Step *const ways[2], double us[2]) {
    for (int k = 0; k < 2; k++) {
        run_step(t->net, ways[k], &t->at[0]);
        us[k] = time_once(t, ways[k], 0);
    }
    if (us[1] > HOPELESS * us[0]) return;
    us[0] = us[1] = 0;
    for (int i = 0; i < t->inputs; i++) {
        double best[2];
        for (int round = 0; round < ROUNDS; round++)
            for (int k = 0; k < 2; k++) {
                const double took = time_once(t, ways[k], i);
                if (!round || took < best[k]) best[k] = took;
            }
        us[0] += best[0], us[1] += best[1];
    }
}

static bool fits(const st_net *net, const Step *now, const Layer *l) {
    const uint64_t state = net->state + layer_state(l) - layer_state(now->layer);
    return state <= MAX_MEMORY && net->arena + l->scratch.shared + l->scratch.own + net->memory -
                                          now->layer->memory + l->memory <=
                                      MAX_MEMORY;
}

/* What cannot be made for want of memory is not considered. */
static void try_method(Tuner *t, Step *now, Method method) {
    st_net *net = t->net;
    Layer *l = layer_as(now->layer, method);
    if (!l) return;
    Step other = *now;
    step_use(&other, l);
    step_carries(net, &other);
    double us[2] = {0, 0};
    if (fits(net, now, l) && make_room(t, &l->scratch) && put_state(t, &other))
        time_both(t, (const Step *const[]){now, &other}, us);
    if (us[1] < WORTH * us[0]) {
        net->memory += l->memory - now->layer->memory;
        layer_free(now->layer);
        *now = other;
    } else {
        layer_free(l);
    }
}

static void tune_step(Tuner *t, Step *s) {
    if (!put_state(t, s)) return;
    for (int method = 0; s->layer && method < METHODS; method++)
        if (s->layer->method != (Method)method && layer_can(s->layer, (Method)method))
            try_method(t, s, (Method)method);
}

int st_tune(st_net *net, const float *x, int64_t n, char *error, size_t error_size) {
    const Error e = {error, error_size};
    if (!net || n < 1 || !x) {
        fail(&e, "needs a net and inputs");
        return ST_BAD_ARGUMENT;
    }
    Tuner t;
    bool good = tuner_make(&t, net, x, n);
    Scratch most = {0, 0};
    for (uint32_t i = 0; good && i < net->count; i++) {
        Step *s = &net->steps[i];
        tune_step(&t, s);
        scratch_most(&most, &s->scratch);
        good = make_room(&t, &s->scratch) && put_state(&t, s);
        for (int k = 0; good && k < t.inputs; k++) run_step(net, s, &t.at[k]);
    }
    tuner_free(&t);
    contexts_free(net); /* their scratch memory was for other steps */
    if (good) net->scratch = most;
    else scratch_most(&net->scratch, &most);
    if (net->stepwise && !place_state(net, &e)) return ST_NO_MEMORY;
    if (good) return ST_OK;
    fail(&e, "no memory to tune the net");
    return ST_NO_MEMORY;
}
