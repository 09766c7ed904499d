/* From ops to steps: which ops run as one, and where each register lies. */
#include "net.h"

#include <stdlib.h>

/* The op that follows `i` and is the only reader of what `i` writes; 0 where there is none. */
static uint32_t only_reader(const Program *p, uint32_t i, uint32_t opcode) {
    if (i + 1 >= p->head.ops) return 0;
    const uint32_t out = op_words(p, i)[1], *next = op_words(p, i + 1);
    if (next[0] != opcode || next[2] != out || next[3] != NONE || p->last_use[out] != i + 1)
        return 0;
    return i + 1;
}

static void run_layer(const st_net *net, const Step *s, const Context *c, const Share *share) {
    s->layer->run(s->layer, reg_in(net, c, s->in[0]), reg_out(net, c, s->out), share);
}

void step_use(Step *s, Layer *l) {
    s->layer = l;
    s->run = run_layer;
    s->kernel = method_name(l);
    s->phases = l->phases;
    memcpy(s->units, l->units, sizeof s->units);
    s->scratch = l->scratch;
}

static bool plan_synapse(st_net *net, Step *s, uint32_t i, const Error *e) {
    const Program *p = &net->p;
    const Synapse y = synapse_of(p, i);
    uint32_t fire = net->keep ? 0 : only_reader(p, i, OP_NEURON);
    /* what is the same at every step is computed once */
    if (fire && net->stepwise && p->role[s->out] != p->role[op_words(p, fire)[1]]) fire = 0;
    Neuron neuron;
    Pool pool;
    bool fires = false, pools = false;
    if (fire) {
        neuron = neuron_of(p, fire);
        fires = neuron.kind <= NEURON_STEP;
    }
    if (fires) {
        s->last = fire;
        const uint32_t join = only_reader(p, fire, OP_MAXPOOL);
        if (join) {
            const uint32_t *w = op_words(p, join);
            const Reg *in = &p->regs[w[2]], *out = &p->regs[w[1]];
            pool = (Pool){.k = w[5],
                          .stride = w[6],
                          .pad = w[7],
                          .h = in->h,
                          .w = in->w,
                          .ho = out->h,
                          .wo = out->w};
            pools = true;
            s->last = join;
        }
    }
    s->out = op_words(p, s->last)[1];
    Layer *l = layer_make(net, &y, &p->regs[s->in[0]], &p->regs[s->out], fires ? &neuron : NULL,
                          pools ? &pool : NULL, e);
    if (!l) return false;
    step_use(s, l);
    net->memory += l->memory;
    return true;
}

static bool plan_steps(st_net *net, const Error *e) {
    const Program *p = &net->p;
    for (uint32_t i = 0; i < p->head.ops;) {
        const uint32_t *w = op_words(p, i);
        Step *s = &net->steps[net->count++];
        *s = (Step){.first = i, .last = i, .in = {w[2], w[3], w[4]}, .out = w[1]};
        if (w[0] != OP_SYNAPSE) plan_plain(net, s);
        else if (!plan_synapse(net, s, i, e)) return false;
        if (!scratch_fits(&s->scratch)) return fail(e, "op %u needs more than 2 GiB", i);
        scratch_most(&net->scratch, &s->scratch);
        step_carries(net, s);
        if (net->memory > MAX_MEMORY) return fail(e, "the program needs more than 2 GiB");
        i = s->last + 1;
    }
    return true;
}

/* ---- registers: each takes the first gap that is free while it lives */

typedef struct {
    uint64_t at, bytes;
    uint32_t until; /* the last step that reads it */
} Block;

static uint64_t take(Block *blocks, size_t *count, uint64_t bytes, uint32_t from, uint32_t until) {
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (blocks[i].until >= from) blocks[kept++] = blocks[i];
    uint64_t at = 0;
    size_t place = 0; /* blocks are in order of their address */
    while (place < kept && blocks[place].at < at + bytes) {
        at = blocks[place].at + blocks[place].bytes;
        place++;
    }
    memmove(blocks + place + 1, blocks + place, (kept - place) * sizeof *blocks);
    blocks[place] = (Block){at, bytes, until};
    *count = kept + 1;
    return at;
}

static bool place_registers(st_net *net, const Error *e) {
    const Program *p = &net->p;
    Block *blocks = malloc((net->count + 2) * sizeof *blocks);
    if (!blocks) return fail(e, "no memory to plan a program");
    size_t count = 0;
    for (uint32_t i = 0; i <= net->count; i++) {
        /* the input comes first: it has a place for those that come as bytes */
        const uint32_t r = i ? net->steps[i - 1].out : 0;
        const uint32_t op = i ? net->steps[i - 1].first : 0;
        const uint64_t bytes = round_up((size_t)reg_bytes(&p->regs[r]), ALIGN) + SLACK;
        const uint32_t until = net->keep || i == net->count ? NONE : p->last_use[r];
        /* all are kept: there is no gap to look for */
        net->place[r] = net->keep
                            ? net->arena
                            : take(blocks, &count, bytes, op, until == p->head.ops ? op : until);
        if (net->place[r] + bytes > net->arena) net->arena = net->place[r] + bytes;
        if (net->arena > MAX_MEMORY) break;
    }
    free(blocks);
    if (net->arena + net->scratch.shared + net->scratch.own + net->memory > MAX_MEMORY)
        return fail(e, "the program needs more than 2 GiB");
    return true;
}

bool plan_make(st_net *net, const Error *e) {
    net->steps = calloc(net->p.head.ops, sizeof *net->steps);
    net->place = calloc(net->p.head.regs, sizeof *net->place);
    net->held = calloc(net->p.head.regs, sizeof *net->held);
    if (!net->steps || !net->place || !net->held) return fail(e, "no memory to plan a program");
    return plan_steps(net, e) && place_registers(net, e) && (!net->stepwise || place_state(net, e));
}

void plan_free(st_net *net) {
    for (uint32_t i = 0; net->steps && i < net->count; i++) layer_free(net->steps[i].layer);
    free(net->steps);
    free(net->place);
    free(net->held);
}
