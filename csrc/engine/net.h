/* A loaded net: its program, the steps that run it, and the memory they need. */
#ifndef ST_NET_H
#define ST_NET_H

#include "kernels.h"

#include <pthread.h>

typedef struct Team Team;

/* What the threads that work on one image together need, one thread as a rule. */
struct Context {
    const float *input;
    uint8_t *arena;  /* the registers */
    uint8_t *shared; /* scratch memory of the step that runs */
    uint8_t *own;    /* and of each thread */
    uint8_t *state;  /* what is carried from step to step; NULL of a net that runs all at once */
    uint64_t before; /* steps that are in the mean already */
    bool again;      /* the input is that of the step before */
    int threads;
    Team *team; /* NULL of one thread */
    Context *next;
};

/* A step runs in phases, a phase in units that do not depend on each other. A share is the units
 * first..last-1 of a phase; shares of one phase may run at the same time. */
enum { MAX_PHASES = 3 };

typedef struct {
    uint32_t phase;
    size_t first, last;
    uint8_t *shared, *own;
    uint8_t *state; /* of the step, which carries it on */
} Share;

/* Bytes of scratch memory, fixed when a step is planned: for all its shares, for each thread. */
typedef struct {
    uint64_t shared, own;
} Scratch;

enum { SLACK = 512 }; /* kernels read up to some vectors past the end of what they need */

static inline size_t carve(uint64_t *room, uint64_t bytes) {
    uint64_t at = *room;
    if (bytes > MAX_MEMORY) bytes = MAX_MEMORY;
    if (*room <= MAX_MEMORY) *room += (bytes + SLACK + ALIGN - 1) / ALIGN * ALIGN;
    return (size_t)at;
}
static inline void scratch_most(Scratch *most, const Scratch *s) {
    if (s->shared > most->shared) most->shared = s->shared;
    if (s->own > most->own) most->own = s->own;
}
static inline bool scratch_fits(const Scratch *s) { return s->shared + s->own <= MAX_MEMORY; }

typedef struct Layer Layer;

typedef enum { BY_ROWS, BY_POPCOUNT, BY_BITS, BY_EVENTS, METHODS } Method;

/* A synapse, with the neuron and the pooling that follow it where they were joined to it. */
struct Layer {
    Synapse y;
    Reg in, out;
    bool fires, pools;
    Neuron neuron;
    Pool pool;
    uint32_t steps; /* of the spikes */
    bool carries;   /* membranes from one step to the next */
    size_t room;    /* neurons of one output channel, as they lie in the state */
    const Kernels *k;
    Method method;
    uint64_t memory; /* bytes of the arrays below */
    Scratch scratch;
    size_t at_z, at_most, at_spikes, at_pitch; /* a thread's own */
    uint32_t phases;
    size_t units[MAX_PHASES];
    void *plan; /* of the method */
    void (*run)(const Layer *l, const void *in, void *out, const Share *share);
    void (*free_plan)(void *plan);
};

struct Step {
    void (*run)(const st_net *net, const Step *step, const Context *c, const Share *share);
    uint32_t first, last; /* the ops it stands for */
    uint32_t in[3], out;
    const char *kernel;
    Layer *layer;
    uint32_t phases;
    size_t units[MAX_PHASES];
    Scratch scratch;
    bool once;  /* its output changes with the input alone: nothing is carried before it */
    bool total; /* it adds to a mean over the steps so far */
    uint64_t state_at, state_bytes;
    uint64_t resting; /* membranes, which come first in the state */
    float rest;
};

struct st_net {
    Program p;
    const Kernels *k;
    bool keep;     /* every register apart */
    bool together; /* the threads of a run work on one input */
    bool stepwise; /* a run is one step, and membranes are carried on */
    Step *steps;
    uint32_t count;
    uint64_t *place; /* of each register in the arena */
    bool *held;      /* stepwise: the register lies in the state */
    uint64_t arena, memory, state;
    Scratch scratch; /* of the steps that need most */
    pthread_mutex_t lock;
    Context *idle;
};

static inline uint64_t reg_bytes(const Reg *r) {
    switch (r->kind) {
    case KIND_F32: return (uint64_t)reg_values(r) * 4;
    case KIND_INT: return (uint64_t)reg_values(r) * 2;
    case KIND_IDS: return (uint64_t)r->w * 4;
    case KIND_SPK: return (uint64_t)r->s * r->c * words_of(positions(r)) * 8;
    default: return 0;
    }
}

static inline void *reg_out(const st_net *net, const Context *c, uint32_t r) {
    return (net->stepwise && net->held[r] ? c->state : c->arena) + net->place[r];
}
static inline const void *reg_in(const st_net *net, const Context *c, uint32_t r) {
    return r == 0 ? (const void *)c->input : reg_out(net, c, r);
}

static inline size_t sum_positions(const Layer *l) { return (size_t)l->y.ho * l->y.wo; }
/* What is left of them by the maximum over windows. */
static inline size_t out_positions(const Layer *l) { return (size_t)l->y.high * l->y.wide; }

/* layer.c, emit.c */
Layer *layer_make(const st_net *net, const Synapse *y, const Reg *in, const Reg *out,
                  const Neuron *neuron, const Pool *pool, const Error *e);
/* The same layer, computed in another way; NULL without memory. */
Layer *layer_as(const Layer *l, Method method);
bool layer_can(const Layer *l, Method method);
void layer_free(Layer *l);
/* Sums z [s][stride] of one output channel, as the counters gave them and before the maximum over
 * windows, become its output. */
void layer_emit(const Layer *l, uint32_t o, float *z, size_t stride, float alpha, void *out,
                const Share *share);
/* Spikes [steps][words] of one channel, in rows of `pitch` bits, become its output. */
void layer_emit_spikes(const Layer *l, uint32_t o, const uint64_t *spikes, size_t words,
                       size_t pitch, void *out, uint8_t *own);
const char *method_name(const Layer *l);
uint64_t layer_state(const Layer *l); /* bytes that it carries on */

/* Membranes of a channel, from neuron `at` of it on, in what a share carries on. */
static inline Membranes membranes_at(const Layer *l, const Share *share, size_t o, size_t at) {
    if (!l->carries) return (Membranes){NULL, NULL};
    float *v = (float *)(void *)share->state + o * l->room + at;
    return (Membranes){v, l->neuron.late ? v + l->y.cout * l->room : NULL};
}

/* rows.c, popcount.c, bitsliced_plan.c, events.c: plan one way to compute a layer; false: no
 * memory. */
bool rows_plan(Layer *l);
bool rows_whole_fit(const Layer *l);
bool popcount_plan(Layer *l);
bool bitsliced_plan(Layer *l);
bool bitsliced_fits(const Layer *l);
bool events_plan(Layer *l);
bool events_fit(const Layer *l);

/* values.c */
void reg_to_float(const Kernels *k, const Reg *r, const void *data, float *out);
/* Of channels first..last-1, at their places in `out`. */
void channels_to_float(const Kernels *k, const Reg *r, const void *data, size_t first, size_t last,
                       float *out);

/* plain.c: every op on its own. */
void plan_plain(const st_net *net, Step *step);

/* plan.c */
bool plan_make(st_net *net, const Error *e);
void plan_free(st_net *net);
void step_use(Step *s, Layer *l);

/* state.c: what a step carries on, where all of it lies, and at rest. */
void step_carries(const st_net *net, Step *s);
bool place_state(st_net *net, const Error *e);
void state_rest(const st_net *net, uint8_t *state);
/* Around the run of a step: whether the state is one of the net, and has seen an input where that
 * comes again; the state of the run; its input, or NULL where that comes again. */
bool state_fits(const st_net *net, const st_state *s, bool again);
void state_take(Context *c, st_state *s);
void state_show(const st_net *net, Context *c, const float *input);
void state_leave(st_state *s);
static inline uint8_t *state_of(const Step *s, const Context *c) {
    return c->state ? c->state + s->state_at : NULL;
}
/* The first step from i on that has to run. */
static inline uint32_t next_step(const st_net *net, const Context *c, uint32_t i) {
    while (c->again && i < net->count && net->steps[i].once) i++;
    return i;
}

/* context.c: one for `threads` threads is kept for the next run when it is given back. */
Context *context_take(const st_net *net, int threads);
void context_give(const st_net *net, Context *c);
void contexts_free(st_net *net);
size_t own_scratch(const st_net *net); /* bytes of one thread's */
/* One image, or one step of it, by the calling thread alone. */
void run_step(const st_net *net, const Step *step, const Context *c);
void run_image(const st_net *net, const Context *c);
uint8_t *aligned_room(uint64_t bytes);
double now_us(void);

/* team.c: threads that wait for an image to work on together. */
Team *team_make(int threads);
void team_free(Team *t);
/* Whether its threads are those of this process: a child that was forked has none. */
bool team_lives(const Team *t);
void team_run(Team *t, const st_net *net, const Context *c);

#endif
