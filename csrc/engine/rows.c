/* A layer as sums of shifted rows: for every kept weight, in the order of the definition, a row of
 * the padded input is added to a row of the output. Any input, any weights. A strided layer reads
 * the input split into its stride^2 phases, in which every tap has stride 1. Whole numbers whose
 * sums fit 16 bits are added as such, in any order. */
#include "net.h"

#include <stdlib.h>

typedef struct {
    uint32_t py, px, hq, wq; /* phases and the size of one, padding included */
    size_t channel;          /* values of a padded channel */
    bool pointwise;          /* a channel's steps lie next to each other: one row */
    size_t at_x, at_row, at_float;
    uint64_t *start; /* [cout + 1] into taps */
    uint32_t *taps;
    float *weights;     /* NULL: ternary */
    uint64_t *positive; /* [cout] taps of a positive sign, which come first; NULL: of floats */
} Rows;

static void rows_free(void *plan) {
    Rows *r = plan;
    if (!r) return;
    free(r->start);
    free(r->taps);
    free(r->weights);
    free(r->positive);
    free(r);
}

static inline void pad_channel(const Synapse *y, const Rows *r, const uint8_t *x, uint8_t *out,
                               size_t size) {
    memset(out, 0, r->channel * size);
    for (size_t row = 0; row < y->h; row++) {
        const size_t at = row + y->pad, phase = at % y->stride, yq = at / y->stride;
        if (phase >= r->py || yq >= r->hq) continue;
        const size_t to = phase * r->px * r->hq * r->wq + yq * r->wq;
        if (y->stride == 1) {
            const size_t room = r->wq > y->pad ? r->wq - y->pad : 0;
            memcpy(out + (to + y->pad) * size, x + row * y->w * size,
                   (room < y->w ? room : y->w) * size);
            continue;
        }
        for (size_t px = 0; px < r->px; px++) {
            uint8_t *o = out + (to + px * r->hq * r->wq) * size;
            size_t first = (px + (size_t)y->stride - y->pad % y->stride) % y->stride;
            for (size_t col = first; col < y->w; col += y->stride) {
                size_t xq = (col + y->pad) / y->stride;
                if (xq < r->wq) memcpy(o + xq * size, x + (row * y->w + col) * size, size);
            }
        }
    }
}

/* A unit is one channel of one step; where the input must become float first, all of them. */
static void pad_image(const Layer *l, const void *in, const Share *share) {
    const Rows *r = l->plan;
    const Synapse *y = &l->y;
    uint8_t *x = share->shared + r->at_x;
    size_t first = share->first, last = share->last;
    if (l->in.kind != KIND_F32 && !r->positive) {
        float *as_floats = (float *)(void *)(share->shared + r->at_float);
        reg_to_float(l->k, &l->in, in, as_floats);
        in = as_floats;
        first = 0, last = (size_t)y->s * y->cin;
    }
    for (size_t i = first; i < last; i++) {
        const size_t to = r->pointwise ? i % y->cin * y->s + i / y->cin : i;
        const uint8_t *from = (const uint8_t *)in + i * y->h * y->w * (r->positive ? 2 : 4);
        if (r->positive) pad_channel(y, r, from, x + to * r->channel * 2, 2);
        else pad_channel(y, r, from, x + to * r->channel * 4, 4);
    }
}

/* One call of a kernel: the sums of output o, at step s. */
static void sum_rows(const Layer *l, const uint8_t *x, size_t s, size_t o, float *to, size_t n) {
    const Rows *r = l->plan;
    const size_t image = s * r->channel * l->y.cin;
    const uint32_t *taps = r->taps + r->start[o];
    const size_t count = (size_t)(r->start[o + 1] - r->start[o]);
    const float *floats = (const float *)(const void *)x + image;
    if (r->positive)
        l->k->rows_whole((const uint16_t *)(const void *)x + image, taps, (size_t)r->positive[o],
                         count, to, n);
    else if (r->weights) l->k->rows_float(floats, taps, r->weights + r->start[o], count, to, n);
    else l->k->rows_ternary(floats, taps, count, to, n);
}

static void rows_run(const Layer *l, const void *in, void *out, const Share *share) {
    if (share->phase == 0) {
        pad_image(l, in, share);
        return;
    }
    const Rows *r = l->plan;
    const Synapse *y = &l->y;
    float *z = (float *)(void *)(share->own + l->at_z);
    float *row = (float *)(void *)(share->own + r->at_row);
    const size_t n = (size_t)y->ho * y->wo, calls = r->pointwise ? 1 : y->s;
    const size_t flat = r->pointwise ? y->s * n : (size_t)(y->ho - 1) * r->wq + y->wo;
    for (size_t o = share->first; o < share->last; o++) {
        for (size_t s = 0; s < calls; s++) {
            float *to = r->wq == y->wo ? z + s * n : row;
            sum_rows(l, share->shared + r->at_x, s, o, to, flat);
            if (to != row) continue;
            for (size_t yo = 0; yo < y->ho; yo++)
                memcpy(z + s * n + yo * y->wo, row + yo * r->wq, y->wo * sizeof *z);
        }
        layer_emit(l, (uint32_t)o, z, n, y->alpha, out, share);
    }
}

/* Taps of output o, of both signs or of one of them, from `at` on. */
static uint64_t fill_taps(const Layer *l, Rows *r, uint32_t o, uint64_t at, bool all, bool wanted) {
    const Synapse *y = &l->y;
    uint64_t i = (uint64_t)o * y->cin * y->kh * y->kw;
    for (uint32_t c = 0; c < y->cin; c++)
        for (uint32_t ky = 0; ky < y->kh; ky++)
            for (uint32_t kx = 0; kx < y->kw; kx++, i++) {
                if (y->ternary ? !kept_bit(y->keep, i) : y->weights[i] == 0) continue;
                const bool negative = y->ternary && !kept_bit(y->sign, i);
                if (!all && negative != wanted) continue;
                const size_t pitch = r->pointwise ? (size_t)c * y->s : c;
                size_t phase = (pitch * r->py + ky % y->stride) * r->px + kx % y->stride;
                size_t offset = (phase * r->hq + ky / y->stride) * r->wq + kx / y->stride;
                r->taps[at] = (uint32_t)(offset << 1 | negative);
                if (r->weights) r->weights[at] = y->weights[i];
                at++;
            }
    return at;
}

static void fill_rows(const Layer *l, Rows *r) {
    uint64_t at = 0;
    for (uint32_t o = 0; o < l->y.cout; o++) {
        r->start[o] = at;
        at = fill_taps(l, r, o, at, !r->positive, false);
        if (!r->positive) continue;
        r->positive[o] = at - r->start[o];
        at = fill_taps(l, r, o, at, false, true);
    }
    r->start[l->y.cout] = at;
}

/* Ternary weights on whole numbers, of which no sum leaves 16 bits. */
bool rows_whole_fit(const Layer *l) {
    const Synapse *y = &l->y;
    return l->in.kind == KIND_INT && y->ternary &&
           (uint64_t)y->cin * y->kh * y->kw * l->in.most <= INT16_MAX;
}

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

bool rows_plan(Layer *l) {
    const Synapse *y = &l->y;
    Rows *r = calloc(1, sizeof *r);
    if (!r) return false;
    l->plan = r;
    l->free_plan = rows_free;
    l->run = rows_run;
    r->py = smaller(y->stride, y->kh);
    r->px = smaller(y->stride, y->kw);
    r->hq = (y->kh - 1) / y->stride + y->ho;
    r->wq = (y->kw - 1) / y->stride + y->wo;
    /* each factor is at most 2^17, so the first three fit 64 bits */
    uint64_t phase = (uint64_t)r->hq * r->wq, phases = (uint64_t)r->py * r->px;
    if (phase > MAX_MEMORY || phases > MAX_MEMORY / phase || y->cin > (1u << 28) / (phase * phases))
        return false;
    r->channel = (size_t)(phase * phases);
    r->pointwise = y->kh * y->kw == 1 && y->stride == 1 && y->pad == 0 &&
                   phase * y->cin * y->s < 1u << 31; /* what a tap can say */
    r->at_x = carve(&l->scratch.shared, phase * phases * y->cin * y->s * 4);
    const bool whole = rows_whole_fit(l), floats = l->in.kind == KIND_F32 || whole;
    r->at_float = carve(&l->scratch.shared, floats ? 0 : (uint64_t)reg_values(&l->in) * 4);
    r->at_row = carve(&l->scratch.own, phase * 4);
    l->phases = 2;
    l->units[0] = floats ? (size_t)y->s * y->cin : 1;
    l->units[1] = y->cout;
    l->memory = y->kept * (y->ternary ? 4 : 8) + (whole ? 16 : 8) * ((uint64_t)y->cout + 1);
    if (l->memory > MAX_MEMORY || !scratch_fits(&l->scratch)) return false;
    r->start = malloc(((size_t)y->cout + 1) * sizeof *r->start);
    r->taps = malloc((size_t)y->kept * sizeof *r->taps + 1);
    if (!y->ternary) r->weights = malloc((size_t)y->kept * sizeof *r->weights + 1);
    if (whole) r->positive = malloc((size_t)y->cout * sizeof *r->positive);
    if (!r->start || !r->taps || (!y->ternary && !r->weights) || (whole && !r->positive))
        return false;
    fill_rows(l, r);
    return true;
}
