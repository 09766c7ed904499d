/* A layer as sums of shifted rows: for every kept weight, in the order of the definition, a row of
 * the padded input is added to a row of the output. Any input, any weights. A strided layer reads
 * the input split into its stride^2 phases, in which every tap has stride 1. */
#include "net.h"

#include <stdlib.h>

typedef struct {
    uint32_t py, px, hq, wq; /* phases and the size of one, padding included */
    size_t channel;          /* values of a padded channel */
    size_t at_x, at_row, at_float;
    uint64_t *start; /* [cout + 1] into taps */
    uint32_t *taps;
    float *weights; /* NULL: ternary */
} Rows;

static void rows_free(void *plan) {
    Rows *r = plan;
    if (!r) return;
    free(r->start);
    free(r->taps);
    free(r->weights);
    free(r);
}

static void pad_channel(const Synapse *y, const Rows *r, const float *x, float *out) {
    memset(out, 0, r->channel * sizeof *out);
    for (size_t row = 0; row < y->h; row++) {
        const size_t at = row + y->pad, phase = at % y->stride, yq = at / y->stride;
        if (phase >= r->py || yq >= r->hq) continue;
        float *to = out + phase * r->px * r->hq * r->wq + yq * r->wq;
        for (size_t px = 0; px < r->px; px++) {
            float *o = to + px * r->hq * r->wq;
            size_t first = (px + (size_t)y->stride - y->pad % y->stride) % y->stride;
            for (size_t col = first; col < y->w; col += y->stride) {
                size_t xq = (col + y->pad) / y->stride;
                if (xq < r->wq) o[xq] = x[row * y->w + col];
            }
        }
    }
}

/* A unit is one channel of one step; where the input must become float first, all of them. */
static void pad_image(const Layer *l, const void *in, const Share *share) {
    const Rows *r = l->plan;
    const Synapse *y = &l->y;
    float *x = (float *)(void *)(share->shared + r->at_x);
    size_t first = share->first, last = share->last;
    if (l->in.kind != KIND_F32) {
        float *as_floats = (float *)(void *)(share->shared + r->at_float);
        reg_to_float(&l->in, in, as_floats);
        in = as_floats;
        first = 0, last = (size_t)y->s * y->cin;
    }
    for (size_t i = first; i < last; i++)
        pad_channel(y, r, (const float *)in + i * y->h * y->w, x + i * r->channel);
}

static void rows_run(const Layer *l, const void *in, void *out, const Share *share) {
    if (share->phase == 0) {
        pad_image(l, in, share);
        return;
    }
    const Rows *r = l->plan;
    const Synapse *y = &l->y;
    const float *x = (const float *)(const void *)(share->shared + r->at_x);
    float *z = (float *)(void *)(share->own + l->at_z);
    float *row = (float *)(void *)(share->own + r->at_row);
    const size_t n = (size_t)y->ho * y->wo, image = r->channel * y->cin;
    for (size_t o = share->first; o < share->last; o++) {
        const uint32_t *taps = r->taps + r->start[o];
        const size_t count = (size_t)(r->start[o + 1] - r->start[o]);
        const size_t flat = (size_t)(y->ho - 1) * r->wq + y->wo;
        for (uint32_t s = 0; s < y->s; s++) {
            float *to = r->wq == y->wo ? z + s * n : row;
            if (r->weights)
                l->k->rows_float(x + s * image, taps, r->weights + r->start[o], count, to, flat);
            else
                l->k->rows_ternary(x + s * image, taps, count, to, flat);
            if (to != row) continue;
            for (size_t yo = 0; yo < y->ho; yo++)
                memcpy(z + s * n + yo * y->wo, row + yo * r->wq, y->wo * sizeof *z);
        }
        layer_emit(l, (uint32_t)o, z, n, y->alpha, out, share->own);
    }
}

static void fill_taps(const Layer *l, Rows *r) {
    const Synapse *y = &l->y;
    uint64_t at = 0, i = 0;
    for (uint32_t o = 0; o < y->cout; o++) {
        r->start[o] = at;
        for (uint32_t c = 0; c < y->cin; c++)
            for (uint32_t ky = 0; ky < y->kh; ky++)
                for (uint32_t kx = 0; kx < y->kw; kx++, i++) {
                    if (y->ternary ? !kept_bit(y->keep, i) : y->weights[i] == 0) continue;
                    size_t phase = ((size_t)c * r->py + ky % y->stride) * r->px + kx % y->stride;
                    size_t offset = (phase * r->hq + ky / y->stride) * r->wq + kx / y->stride;
                    bool negative = y->ternary && !kept_bit(y->sign, i);
                    r->taps[at] = (uint32_t)(offset << 1 | negative);
                    if (r->weights) r->weights[at] = y->weights[i];
                    at++;
                }
    }
    r->start[y->cout] = at;
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
    r->at_x = carve(&l->scratch.shared, phase * phases * y->cin * y->s * 4);
    const bool floats = l->in.kind == KIND_F32;
    r->at_float = carve(&l->scratch.shared, floats ? 0 : (uint64_t)reg_values(&l->in) * 4);
    r->at_row = carve(&l->scratch.own, phase * 4);
    l->phases = 2;
    l->units[0] = floats ? (size_t)y->s * y->cin : 1;
    l->units[1] = y->cout;
    l->memory = y->kept * (y->ternary ? 4 : 8) + 8 * ((uint64_t)y->cout + 1);
    if (l->memory > MAX_MEMORY || !scratch_fits(&l->scratch)) return false;
    r->start = malloc(((size_t)y->cout + 1) * sizeof *r->start);
    r->taps = malloc((size_t)y->kept * sizeof *r->taps + 1);
    if (!y->ternary) r->weights = malloc((size_t)y->kept * sizeof *r->weights + 1);
    if (!r->start || !r->taps || (!y->ternary && !r->weights)) return false;
    fill_taps(l, r);
    return true;
}
