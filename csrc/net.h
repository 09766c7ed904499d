/* A loaded net: its program, the steps that run it, and the memory they need. */
#ifndef ST_NET_H
#define ST_NET_H

#include "kernels.h"

#include <pthread.h>

/* What one thread needs to run one image. */
struct Context {
    const float *input;
    uint8_t *arena;   /* the registers */
    uint8_t *scratch; /* of the step that runs */
    Context *next;
};

/* Room that a layer takes from the scratch memory, fixed when it is planned. */
typedef struct {
    uint64_t bytes;
} Scratch;

enum { SLACK = 512 }; /* kernels read up to some vectors past the end of what they need */

static inline size_t carve(Scratch *s, uint64_t bytes) {
    uint64_t at = s->bytes;
    if (bytes > MAX_MEMORY) bytes = MAX_MEMORY;
    if (s->bytes <= MAX_MEMORY) s->bytes += (bytes + SLACK + ALIGN - 1) / ALIGN * ALIGN;
    return (size_t)at;
}

typedef struct Layer Layer;

typedef enum { BY_ROWS, BY_POPCOUNT, BY_BITS, BY_EVENTS } Method;

/* A synapse, with the neuron and the pooling that follow it where they were joined to it. */
struct Layer {
    Synapse y;
    Reg in, out;
    bool fires, pools;
    Neuron neuron;
    Pool pool;
    uint32_t steps; /* of the spikes */
    const Kernels *k;
    Method method;
    uint64_t memory; /* bytes of the arrays below */
    Scratch scratch;
    size_t at_z, at_spikes, at_pitch;
    void *plan; /* of the method */
    void (*run)(const Layer *l, const void *in, void *out, uint8_t *scratch);
    void (*free_plan)(void *plan);
};

struct Step {
    void (*run)(const st_net *net, const Step *step, Context *c);
    uint32_t first, last; /* the ops it stands for */
    uint32_t in[3], out;
    const char *kernel;
    Layer *layer;
    size_t scratch;
};

struct st_net {
    Program p;
    const Kernels *k;
    bool keep;
    Step *steps;
    uint32_t count;
    uint64_t *place; /* of each register in the arena */
    uint64_t arena, scratch, memory;
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

static inline const void *reg_in(const st_net *net, const Context *c, uint32_t r) {
    return r == 0 ? (const void *)c->input : (const void *)(c->arena + net->place[r]);
}
static inline void *reg_out(const st_net *net, const Context *c, uint32_t r) {
    return c->arena + net->place[r];
}

/* layer.c */
Layer *layer_make(const st_net *net, const Synapse *y, const Reg *in, const Reg *out,
                  const Neuron *neuron, const Pool *pool, const Error *e);
void layer_free(Layer *l);
/* Sums z [s][stride] of one output channel, as the counters gave them, become its output. */
void layer_emit(const Layer *l, uint32_t o, float *z, size_t stride, float alpha, void *out,
                uint8_t *scratch);
/* Spikes [steps][words] of one channel, in rows of `pitch` bits, become its output. */
void layer_emit_spikes(const Layer *l, uint32_t o, const uint64_t *spikes, size_t words,
                       size_t pitch, void *out, uint8_t *scratch);
const char *method_name(const Layer *l);

/* rows.c, popcount.c, bitsliced.c, events.c: plan one way to compute a layer; false without memory. */
bool rows_plan(Layer *l);
bool popcount_plan(Layer *l);
bool bitsliced_plan(Layer *l);
bool bitsliced_fits(const Layer *l);
bool events_plan(Layer *l);
bool events_fit(const Layer *l);

/* values.c */
void reg_to_float(const Reg *r, const void *data, float *out);

/* plain.c: every op on its own. */
void run_plain(const st_net *net, const Step *step, Context *c);
uint64_t plain_scratch(const Program *p, uint32_t op);

/* plan.c */
bool plan_make(st_net *net, const Error *e);
void plan_free(st_net *net);

#endif
