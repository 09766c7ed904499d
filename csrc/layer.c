/* What the ways to compute a layer share: from sums to currents, spikes and pooled spikes. */
#include "net.h"

#include "bits.h"

#include <stdlib.h>

static size_t out_positions(const Layer *l) { return (size_t)l->y.ho * l->y.wo; }

void layer_emit_spikes(const Layer *l, uint32_t o, const uint64_t *spikes, size_t words,
                       size_t pitch, void *out, uint8_t *own) {
    const size_t to_words = words_of(positions(&l->out));
    uint64_t *to = (uint64_t *)out + (size_t)o * l->steps * to_words;
    uint64_t *tight = (uint64_t *)(void *)(own + l->at_pitch);
    const size_t tight_words = words_of(out_positions(l));
    for (uint32_t t = 0; t < l->steps; t++, to += to_words) {
        const uint64_t *from = spikes + t * words;
        uint64_t *cut = l->pools ? tight : to;
        if (pitch != l->y.wo) {
            memset(cut, 0, tight_words * 8);
            repitch(from, l->y.ho, pitch, l->y.wo, cut);
            from = cut;
        } else if (!l->pools && from != to) {
            memcpy(to, from, to_words * 8);
        }
        if (l->pools) {
            memset(to, 0, to_words * 8);
            l->k->pool(from, &l->pool, to);
        } else {
            to[to_words - 1] &= tail_mask(out_positions(l));
        }
    }
}

static const float *of(const float *array, uint32_t o) { return array ? array + o : NULL; }

void layer_emit(const Layer *l, uint32_t o, float *z, size_t stride, float alpha, void *out,
                uint8_t *own) {
    const Synapse *y = &l->y;
    const size_t n = out_positions(l), words = words_of(n);
    for (uint32_t s = 0; s < y->s; s++)
        l->k->affine(z + s * stride, n, alpha, y->ternary, of(y->bias, o), of(y->a, o), of(y->b, o));
    if (!l->fires) {
        for (uint32_t s = 0; s < y->s; s++)
            memcpy((float *)out + ((size_t)s * y->cout + o) * n, z + s * stride, n * sizeof *z);
        return;
    }
    uint64_t *spikes = (uint64_t *)(void *)(own + l->at_spikes);
    if (!l->pools) spikes = (uint64_t *)out + (size_t)o * l->steps * words;
    l->k->fire(z, y->s == 1 ? 0 : stride, l->steps, n, &l->neuron, spikes, words);
    if (l->pools) layer_emit_spikes(l, o, spikes, words, y->wo, out, own);
}

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
    const size_t vectors = l->y.s * ((out_positions(l) + lanes - 1) / lanes);
    return (double)(vectors * ROW_VECTOR) * (double)(l->y.kept + l->y.cin);
}

static double sliced_cost(const Layer *l) {
    const Synapse *y = &l->y;
    const size_t lanes = (size_t)l->k->words;
    const size_t vectors = (words_of(out_positions(l)) * y->s + lanes - 1) / lanes;
    const double inputs = (double)y->cin * y->kh * y->kw;
    return (double)vectors * ((double)y->kept * TREE_VECTOR + inputs * SLAB_VECTOR +
                              y->cout * CHANNEL_VECTOR);
}

/* Whole numbers are counted bit by bit. */
static double popcount_cost(const Layer *l) {
    const Synapse *y = &l->y;
    const size_t group = (size_t)l->k->dot_words;
    const double row = (double)round_up(y->kw * words_of(y->cin), group);
    const double dot = DOT + y->kh * row * (group > 1 ? WORD_BY_BYTES : WORD_BY_WORD);
    double bits = 1;
    for (uint32_t left = l->in.most >> 1; l->in.kind == KIND_INT && left; left >>= 1) bits++;
    return (double)(out_positions(l) * y->s) * y->cout * dot * bits;
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
    *l = (Layer){.y = from->y, .in = from->in, .out = from->out, .fires = from->fires,
                 .pools = from->pools, .neuron = from->neuron, .pool = from->pool,
                 .steps = from->steps, .k = from->k, .method = method};
    const size_t n = out_positions(l);
    l->at_z = carve(&l->scratch.own, (uint64_t)l->y.s * n * 4);
    l->at_spikes = carve(&l->scratch.own, (uint64_t)l->steps * words_of(n) * 8);
    l->at_pitch = carve(&l->scratch.own, (uint64_t)words_of(n) * 8);
    if (plan_method(l)) return l;
    layer_free(l);
    return NULL;
}

Layer *layer_make(const st_net *net, const Synapse *y, const Reg *in, const Reg *out,
                  const Neuron *neuron, const Pool *pool, const Error *e) {
    Layer what = {.y = *y, .in = *in, .out = *out, .fires = neuron != NULL, .pools = pool != NULL,
                  .k = net->k, .steps = out->s};
    if (neuron) what.neuron = *neuron;
    if (pool) what.pool = *pool;
    Layer *l = layer_as(&what, method_of(&what));
    for (int method = 0; !l && method < METHODS; method++) /* one may need less memory */
        if (layer_can(&what, (Method)method)) l = layer_as(&what, (Method)method);
    if (!l) fail(e, "no memory to plan a layer, or more than 2 GiB needed");
    return l;
}

void layer_free(Layer *l) {
    if (!l) return;
    if (l->free_plan) l->free_plan(l->plan);
    free(l);
}
