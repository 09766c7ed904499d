/* States: what one sample carries from step to step. */
#include "net.h"

#include <stdlib.h>

struct st_state {
    const st_net *net;
    uint64_t before; /* steps in the mean */
    bool seen;       /* there was a step */
    uint8_t *bytes;
};

/* ---- what a net carries */

void step_carries(const st_net *net, Step *s) {
    if (!net->stepwise) return;
    const Program *p = &net->p;
    const uint32_t *w = op_words(p, s->first);
    const Reg *out = &p->regs[w[1]];
    Neuron neuron = {.kind = NEURON_STEP};
    s->resting = 0;
    s->once = p->role[s->out] == STILL;
    s->total = w[0] == OP_MEAN && w[5] && p->role[w[2]] == MOVING;
    s->state_bytes = s->layer          ? layer_state(s->layer)
                     : s->total        ? (uint64_t)reg_values(out) * 8
                     : w[0] == OP_LEAK ? (uint64_t)reg_values(out) * 4
                                       : 0;
    if (s->layer && s->layer->carries) {
        neuron = s->layer->neuron;
        s->resting = (uint64_t)s->layer->y.cout * s->layer->room;
    } else if (w[0] == OP_NEURON) {
        neuron = neuron_of(p, s->first);
        if (neuron.kind != NEURON_LIF) return;
        s->resting = reg_values(out);
        s->state_bytes = s->resting * (neuron.late ? 8 : 4);
    }
    s->rest = neuron.v_rest;
}

/* Whether a register outlives the step that writes it, since that does not always run. */
static bool outlives(const st_net *net, uint32_t r) {
    if (r && net->p.role[r] != STILL) return false; /* any input may come again */
    if (r == net->steps[net->count - 1].out) return true;
    for (uint32_t i = 0; i < net->count; i++)
        for (int k = 0; k < 3; k++)
            if (net->steps[i].in[k] == r && !net->steps[i].once) return true;
    return false;
}

/* Called once more where tuning has changed what a layer carries. */
bool place_state(st_net *net, const Error *e) {
    net->state = 0;
    for (uint32_t i = 0; i < net->count; i++)
        net->steps[i].state_at = carve(&net->state, net->steps[i].state_bytes);
    for (uint32_t i = 0; i <= net->count; i++) {
        const uint32_t r = i ? net->steps[i - 1].out : 0;
        net->held[r] = outlives(net, r);
        if (net->held[r]) net->place[r] = carve(&net->state, reg_bytes(&net->p.regs[r]));
    }
    return net->state <= MAX_MEMORY || fail(e, "the program needs more than 2 GiB");
}

void state_rest(const st_net *net, uint8_t *state) {
    memset(state, 0, (size_t)net->state);
    for (uint32_t i = 0; i < net->count; i++) {
        const Step *s = &net->steps[i];
        float *v = (float *)(void *)(state + s->state_at);
        for (uint64_t k = 0; k < s->resting; k++) v[k] = s->rest;
    }
}

/* ---- of the caller */

st_state *st_state_new(const st_net *net) {
    if (!net || !net->stepwise) return NULL;
    st_state *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->net = net;
    s->bytes = aligned_room(net->state);
    if (!s->bytes) {
        free(s);
        return NULL;
    }
    st_state_reset(s);
    return s;
}

void st_state_free(st_state *state) {
    if (!state) return;
    free(state->bytes);
    free(state);
}

void st_state_reset(st_state *state) {
    state->before = 0;
    state->seen = false;
    state_rest(state->net, state->bytes);
}

void st_state_restart_mean(st_state *state) {
    state->before = 0;
    for (uint32_t i = 0; i < state->net->count; i++) {
        const Step *s = &state->net->steps[i];
        if (s->total) memset(state->bytes + s->state_at, 0, (size_t)s->state_bytes);
    }
}

st_state *st_state_copy(const st_state *state) {
    st_state *s = st_state_new(state->net);
    if (!s) return NULL;
    s->before = state->before;
    s->seen = state->seen;
    memcpy(s->bytes, state->bytes, (size_t)state->net->state);
    return s;
}

size_t st_state_size(const st_state *state) { return sizeof *state + (size_t)state->net->state; }

/* ---- of a run */

bool state_fits(const st_net *net, const st_state *s, bool again) {
    return s && s->net == net && (s->seen || !again);
}

void state_take(Context *c, st_state *s) {
    c->state = s->bytes;
    c->before = s->before;
}

void state_show(const st_net *net, Context *c, const float *input) {
    c->again = !input;
    c->input = input;
    if (!net->held[0]) return;
    float *kept = reg_out(net, c, 0);
    if (input && input != kept) memcpy(kept, input, (size_t)reg_bytes(&net->p.regs[0]));
    c->input = kept;
}

void state_leave(st_state *s) {
    s->before++;
    s->seen = true;
}
