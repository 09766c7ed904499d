/* A linear layer with float weights on spikes or small whole numbers, driven by what is not zero:
 * for every step and position, the weights of the inputs that are not zero are added up, in the
 * order of the definition. A zero adds nothing, so that the sums are the same to the bit. */
#include "net.h"

#include <stdlib.h>

typedef struct {
    float *weights; /* [cout / EVENT_OUTPUTS, rounded up][cin][EVENT_OUTPUTS] */
    size_t places;  /* steps times positions */
    size_t at_count, at_ids, at_values, at_sums;
} Events;

static void events_free(void *plan) {
    Events *e = plan;
    if (!e) return;
    free(e->weights);
    free(e);
}

/* The inputs that are not zero, by place, in ascending order; values of INT inputs alone. */
static void collect(const Layer *l, const Events *e, const void *in, uint8_t *scratch) {
    const Synapse *y = &l->y;
    const size_t n = positions(&l->in), steps = l->in.s, words = words_of(n);
    uint32_t *count = (uint32_t *)(void *)(scratch + e->at_count);
    uint16_t *ids = (uint16_t *)(void *)(scratch + e->at_ids);
    float *values = (float *)(void *)(scratch + e->at_values);
    memset(count, 0, e->places * sizeof *count);
    for (size_t c = 0; c < l->in.c; c++)
        for (size_t s = 0; s < steps; s++) {
            if (l->in.kind == KIND_INT) {
                const uint16_t *x = (const uint16_t *)in + (s * l->in.c + c) * n;
                for (size_t p = 0; p < n; p++) {
                    if (!x[p]) continue;
                    const size_t place = y->flatten ? s : s * n + p;
                    const size_t at = place * y->cin + count[place]++;
                    ids[at] = (uint16_t)(y->flatten ? c * n + p : c);
                    values[at] = (float)x[p];
                }
                continue;
            }
            const uint64_t *x = (const uint64_t *)in + (c * steps + s) * words;
            for (size_t w = 0; w < words; w++)
                for (uint64_t left = x[w]; left; left &= left - 1) {
                    const size_t p = 64 * w + (size_t)__builtin_ctzll(left);
                    const size_t place = y->flatten ? s : s * n + p;
                    ids[place * y->cin + count[place]++] = (uint16_t)(y->flatten ? c * n + p : c);
                }
        }
}

static void events_run(const Layer *l, const void *in, void *out, uint8_t *scratch) {
    const Events *e = l->plan;
    const Synapse *y = &l->y;
    const uint32_t *count = (const uint32_t *)(void *)(scratch + e->at_count);
    const uint16_t *ids = (const uint16_t *)(void *)(scratch + e->at_ids);
    const float *values = (const float *)(void *)(scratch + e->at_values);
    float *sums = (float *)(void *)(scratch + e->at_sums);
    collect(l, e, in, scratch);
    for (uint32_t first = 0; first < y->cout; first += EVENT_OUTPUTS) {
        const float *weights = e->weights + (size_t)first * y->cin;
        const uint32_t left = y->cout - first, some = left < EVENT_OUTPUTS ? left : EVENT_OUTPUTS;
        for (size_t place = 0; place < e->places; place++) {
            float sum[EVENT_OUTPUTS];
            const size_t at = place * y->cin;
            l->k->events(ids + at, l->in.kind == KIND_INT ? values + at : NULL, count[place],
                         weights, sum);
            for (uint32_t o = 0; o < some; o++) sums[o * e->places + place] = sum[o];
        }
        for (uint32_t o = 0; o < some; o++)
            layer_emit(l, first + o, sums + o * e->places, e->places / y->s, y->alpha, out, scratch);
    }
}

bool events_fit(const Layer *l) {
    const Synapse *y = &l->y;
    return !y->ternary && (l->in.kind == KIND_SPK || l->in.kind == KIND_INT) && y->kh == 1 &&
           y->kw == 1 && y->stride == 1 && y->pad == 0 && y->cin <= 65536;
}

bool events_plan(Layer *l) {
    const Synapse *y = &l->y;
    Events *e = calloc(1, sizeof *e);
    if (!e) return false;
    l->plan = e;
    l->free_plan = events_free;
    l->run = events_run;
    e->places = (size_t)y->s * y->ho * y->wo;
    const uint64_t inputs = (uint64_t)e->places * y->cin;
    e->at_count = carve(&l->scratch, (uint64_t)e->places * 4);
    e->at_ids = carve(&l->scratch, inputs * 2);
    e->at_values = carve(&l->scratch, l->in.kind == KIND_INT ? inputs * 4 : 0);
    e->at_sums = carve(&l->scratch, (uint64_t)e->places * EVENT_OUTPUTS * 4);
    const uint64_t outputs = ((uint64_t)y->cout + EVENT_OUTPUTS - 1) / EVENT_OUTPUTS * EVENT_OUTPUTS;
    l->memory = outputs * y->cin * 4;
    if (l->memory > MAX_MEMORY || l->scratch.bytes > MAX_MEMORY) return false;
    e->weights = calloc((size_t)(outputs * y->cin), sizeof *e->weights);
    if (!e->weights) return false;
    for (size_t o = 0; o < y->cout; o++)
        for (size_t c = 0; c < y->cin; c++)
            e->weights[(o / EVENT_OUTPUTS * y->cin + c) * EVENT_OUTPUTS + o % EVENT_OUTPUTS] =
                y->weights[o * y->cin + c];
    return true;
}
