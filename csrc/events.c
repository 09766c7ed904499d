/* A layer with float weights on spikes or small whole numbers, driven by what is not zero:
 * for every step and position, the weights of the inputs that are not zero are added up, in the
 * order of the definition. A zero adds nothing, so that the sums are the same to the bit. */
#include "net.h"

#include <stdlib.h>

typedef struct {
    float *weights; /* [cout / EVENT_OUTPUTS, rounded up][inputs][EVENT_OUTPUTS] */
    size_t places;  /* steps times positions */
    size_t inputs;  /* of a place: cin*kh*kw */
    size_t at_count, at_ids, at_values, at_sums;
} Events;

static void events_free(void *plan) {
    Events *e = plan;
    if (!e) return;
    free(e->weights);
    free(e);
}

typedef struct {
    uint32_t *count;
    uint16_t *ids;
    float *values;
} Lists;

/* Input (y, x) is not zero: it goes to the place that reads it through the tap (ky, kx). */
static inline void add_input(const Synapse *y, const Lists *to, size_t s, size_t row, size_t col,
                             size_t ky, size_t kx, uint16_t id, float value, bool valued) {
    const size_t down = row + y->pad, right = col + y->pad;
    if (down < ky || right < kx) return;
    if ((down - ky) % y->stride || (right - kx) % y->stride) return;
    const size_t yo = (down - ky) / y->stride, xo = (right - kx) / y->stride;
    if (yo >= y->ho || xo >= y->wo) return;
    const size_t place = (s * y->ho + yo) * y->wo + xo;
    const size_t at = place * y->cin * y->kh * y->kw + to->count[place]++;
    to->ids[at] = id;
    if (valued) to->values[at] = value;
}

/* What is not zero at one step of one channel, through one tap of it. */
static void collect_tap(const Layer *l, const void *in, const Lists *to, size_t s, size_t c,
                        size_t ky, size_t kx) {
    const Synapse *y = &l->y;
    const size_t n = positions(&l->in), words = words_of(n), wide = l->in.w;
    const size_t id = (c * y->kh + ky) * y->kw + kx;
    if (l->in.kind == KIND_INT) {
        const uint16_t *x = (const uint16_t *)in + (s * l->in.c + c) * n;
        for (size_t p = 0; p < n; p++) {
            if (!x[p]) continue;
            if (y->flatten) add_input(y, to, s, 0, 0, 0, 0, (uint16_t)(c * n + p), x[p], true);
            else add_input(y, to, s, p / wide, p % wide, ky, kx, (uint16_t)id, x[p], true);
        }
        return;
    }
    const uint64_t *x = (const uint64_t *)in + (c * l->in.s + s) * words;
    for (size_t w = 0; w < words; w++)
        for (uint64_t left = x[w]; left; left &= left - 1) {
            const size_t p = 64 * w + (size_t)__builtin_ctzll(left);
            if (y->flatten) add_input(y, to, s, 0, 0, 0, 0, (uint16_t)(c * n + p), 1, false);
            else add_input(y, to, s, p / wide, p % wide, ky, kx, (uint16_t)id, 1, false);
        }
}

/* The inputs of every place that are not zero, in the order of the definition. A unit is a step. */
static void collect(const Layer *l, const Events *e, const void *in, const Share *share) {
    const Synapse *y = &l->y;
    const Lists to = {(uint32_t *)(void *)(share->shared + e->at_count),
                      (uint16_t *)(void *)(share->shared + e->at_ids),
                      (float *)(void *)(share->shared + e->at_values)};
    const size_t step = e->places / y->s;
    memset(to.count + share->first * step, 0, (share->last - share->first) * step * sizeof *to.count);
    for (size_t c = 0; c < l->in.c; c++)
        for (size_t s = share->first; s < share->last; s++)
            for (size_t ky = 0; ky < y->kh; ky++)
                for (size_t kx = 0; kx < y->kw; kx++) collect_tap(l, in, &to, s, c, ky, kx);
}

/* Then a unit is EVENT_OUTPUTS outputs. */
static void events_run(const Layer *l, const void *in, void *out, const Share *share) {
    const Events *e = l->plan;
    const Synapse *y = &l->y;
    if (share->phase == 0) {
        collect(l, e, in, share);
        return;
    }
    const uint32_t *count = (const uint32_t *)(const void *)(share->shared + e->at_count);
    const uint16_t *ids = (const uint16_t *)(const void *)(share->shared + e->at_ids);
    const float *values = (const float *)(const void *)(share->shared + e->at_values);
    float *sums = (float *)(void *)(share->own + e->at_sums);
    for (size_t block = share->first; block < share->last; block++) {
        const uint32_t first = (uint32_t)block * EVENT_OUTPUTS, left = y->cout - first;
        const float *weights = e->weights + (size_t)first * e->inputs;
        const uint32_t some = left < EVENT_OUTPUTS ? left : EVENT_OUTPUTS;
        for (size_t place = 0; place < e->places; place++) {
            float sum[EVENT_OUTPUTS];
            const size_t at = place * e->inputs;
            l->k->events(ids + at, l->in.kind == KIND_INT ? values + at : NULL, count[place],
                         weights, sum);
            for (uint32_t o = 0; o < some; o++) sums[o * e->places + place] = sum[o];
        }
        for (uint32_t o = 0; o < some; o++)
            layer_emit(l, first + o, sums + o * e->places, e->places / y->s, y->alpha, out,
                       share->own);
    }
}

bool events_fit(const Layer *l) {
    const Synapse *y = &l->y;
    return !y->ternary && (l->in.kind == KIND_SPK || l->in.kind == KIND_INT) &&
           (!y->flatten || y->kh * y->kw == 1) && (uint64_t)y->cin * y->kh * y->kw <= 65536;
}

bool events_plan(Layer *l) {
    const Synapse *y = &l->y;
    Events *e = calloc(1, sizeof *e);
    if (!e) return false;
    l->plan = e;
    l->free_plan = events_free;
    l->run = events_run;
    e->places = (size_t)y->s * y->ho * y->wo;
    e->inputs = (size_t)y->cin * y->kh * y->kw;
    if (e->places > MAX_MEMORY) return false;
    const uint64_t inputs = (uint64_t)e->places * e->inputs;
    e->at_count = carve(&l->scratch.shared, (uint64_t)e->places * 4);
    e->at_ids = carve(&l->scratch.shared, inputs * 2);
    e->at_values = carve(&l->scratch.shared, l->in.kind == KIND_INT ? inputs * 4 : 0);
    e->at_sums = carve(&l->scratch.own, (uint64_t)e->places * EVENT_OUTPUTS * 4);
    const uint64_t outputs = ((uint64_t)y->cout + EVENT_OUTPUTS - 1) / EVENT_OUTPUTS * EVENT_OUTPUTS;
    l->memory = outputs * e->inputs * 4;
    l->phases = 2;
    l->units[0] = y->s;
    l->units[1] = (size_t)(outputs / EVENT_OUTPUTS);
    if (l->memory > MAX_MEMORY || !scratch_fits(&l->scratch)) return false;
    e->weights = calloc((size_t)(outputs * e->inputs), sizeof *e->weights);
    if (!e->weights) return false;
    for (size_t o = 0; o < y->cout; o++)
        for (size_t c = 0; c < e->inputs; c++)
            e->weights[(o / EVENT_OUTPUTS * e->inputs + c) * EVENT_OUTPUTS + o % EVENT_OUTPUTS] =
                y->weights[o * e->inputs + c];
    return true;
}
