/* How a layer is computed: the ways that can, what each costs, and the plan of the one chosen. */
#include "net.h"

#include "bits.h"

#include <stdlib.h>

const char *method_name(const Layer *l) {
    static const char *const names[] = {"rows", "popcount", "bit-sliced", "events"};
    return names[l->method];
}

/* Cycles, roughly, as measured on Zen 3: of a word in the popcount kernel, by bytes or by words, of
 * a vector in the adder tree, in the slab, and once more for every channel, and of one in rows. */
static const double WORD_BY_BYTES = 0.7, WORD_BY_WORD = 4, DOT = 10, TREE_VECTOR = 1.8,
                    SLAB_VECTOR = 3, CHANNEL_VECTOR = 60, ROW_VECTOR = 0.8;

bool layer_can(const Layer *l, Method method) {
    switch (method) {
    case BY_ROWS: return true;
    case BY_POPCOUNT: return l->in.kind != KIND_F32 && l->y.ternary;
    case BY_EVENTS: return events_fit(l);
    default: return bitsliced_fits(l);
    }
}

static double rows_cost(const Layer *l) {
    const size_t lanes = (rows_whole_fit(l) ? 4 : 2) * (size_t)l->k->words;
    const size_t vectors = l->y.s * ((sum_positions(l) + lanes - 1) / lanes);
    return (double)(vectors * ROW_VECTOR) * (double)(l->y.kept + l->y.cin);
}

static double sliced_cost(const Layer *l) {
    const Synapse *y = &l->y;
    const size_t lanes = (size_t)l->k->words;
    const size_t vectors = (words_of(sum_positions(l)) * y->s + lanes - 1) / lanes;
    const double inputs = (double)y->cin * y->kh * y->kw;
    return (double)vectors *
           ((double)y->kept * TREE_VECTOR + inputs * SLAB_VECTOR + y->cout * CHANNEL_VECTOR);
}

/* Whole numbers are counted bit by bit. */
static double popcount_cost(const Layer *l) {
    const Synapse *y = &l->y;
    const size_t group = (size_t)l->k->dot_words;
    const double row = (double)round_up(y->kw * words_of(y->cin), group);
    const double dot = DOT + y->kh * row * (group > 1 ? WORD_BY_BYTES : WORD_BY_WORD);
    double bits = 1;
    for (uint32_t left = l->in.most >> 1; l->in.kind == KIND_INT && left; left >>= 1) bits++;
    return (double)(sum_positions(l) * y->s) * y->cout * dot * bits;
}

static Method method_of(const Layer *l) {
    if (layer_can(l, BY_EVENTS)) return BY_EVENTS;
    if (!layer_can(l, BY_POPCOUNT)) return BY_ROWS;
    if (layer_can(l, BY_BITS)) return sliced_cost(l) < popcount_cost(l) ? BY_BITS : BY_POPCOUNT;
    const bool whole = l->in.kind == KIND_INT;
    return whole && rows_cost(l) < popcount_cost(l) ? BY_ROWS : BY_POPCOUNT;
}

static bool plan_method(Layer *l) {
    switch (l->method) {
    case BY_ROWS: return rows_plan(l);
    case BY_POPCOUNT: return popcount_plan(l);
    case BY_EVENTS: return events_plan(l);
    default: return bitsliced_plan(l);
    }
}

Layer *layer_as(const Layer *from, Method method) {
    Layer *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    *l = (Layer){.y = from->y,
                 .in = from->in,
                 .out = from->out,
                 .fires = from->fires,
                 .pools = from->pools,
                 .neuron = from->neuron,
                 .pool = from->pool,
                 .steps = from->steps,
                 .carries = from->carries,
                 .k = from->k,
                 .method = method};
    const size_t n = out_positions(l);
    l->room = n;
    l->at_z = carve(&l->scratch.own, (uint64_t)l->y.s * sum_positions(l) * 4);
    l->at_most = carve(&l->scratch.own, l->y.pool > 1 ? (uint64_t)l->y.s * n * 4 : 0);
    l->at_spikes = carve(&l->scratch.own, (uint64_t)l->steps * words_of(n) * 8);
    l->at_pitch = carve(&l->scratch.own, (uint64_t)words_of(n) * 8);
    if (plan_method(l)) return l;
    layer_free(l);
    return NULL;
}

Layer *layer_make(const st_net *net, const Synapse *y, const Reg *in, const Reg *out,
                  const Neuron *neuron, const Pool *pool, const Error *e) {
    Layer what = {.y = *y,
                  .in = *in,
                  .out = *out,
                  .fires = neuron != NULL,
                  .carries = net->stepwise && neuron && neuron->kind == NEURON_LIF,
                  .pools = pool != NULL,
                  .k = net->k,
                  .steps = out->s};
    if (neuron) what.neuron = *neuron;
    if (pool) what.pool = *pool;
    Layer *l = layer_as(&what, method_of(&what));
    for (int method = 0; !l && method < METHODS; method++) /* one may need less memory */
        if (layer_can(&what, (Method)method)) l = layer_as(&what, (Method)method);
    if (!l) fail(e, "no memory to plan a layer, or more than 2 GiB needed");
    return l;
}

uint64_t layer_state(const Layer *l) {
    return l->carries ? (uint64_t)l->y.cout * l->room * (l->neuron.late ? 8 : 4) : 0;
}

void layer_free(Layer *l) {
    if (!l) return;
    if (l->free_plan) l->free_plan(l->plan);
    free(l);
}
