/* A layer as sums of shifted rows: for every kept weight, in the order of the definition, a row of
 * the padded input is added to a row of the output. Any input, any weights. A strided layer reads
 * the input split into its stride^2 phases, in which every tap has stride 1. */
#include "net.h"

#include <stdlib.h>

typedef struct {
    uint32_t py, px, hq, wq; /* phases and the size of one, padding included */
    size_t image;            /* values of the padded input */
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

static void pad_image(const Layer *l, const Rows *r, const float *x, float *out) {
    const Synapse *y = &l->y;
    memset(out, 0, r->image * sizeof *out);
    for (size_t c = 0; c < y->cin; c++)
        for (size_t row = 0; row < y->h; row++) {
            const float *in = x + (c * y->h + row) * y->w;
            const size_t at = row + y->pad, phase = at % y->stride, yq = at / y->stride;
            if (phase >= r->py || yq >= r->hq) continue;
            float *to = out + (c * r->py + phase) * r->px * r->hq * r->wq + yq * r->wq;
            for (size_t px = 0; px < r->px; px++) {
                float *o = to + px * r->hq * r->wq;
                size_t first = (px + (size_t)y->stride - y->pad % y->stride) % y->stride;
                for (size_t col = first; col < y->w; col += y->stride) {
                    size_t xq = (col + y->pad) / y->stride;
                    if (xq < r->wq) o[xq] = in[col];
                }
            }
        }
}

static void rows_run(const Layer *l, const void *in, void *out, uint8_t *scratch) {
    const Rows *r = l->plan;
    const Synapse *y = &l->y;
    float *x = (float *)(void *)(scratch + r->at_x), *z = (float *)(void *)(scratch + l->at_z);
    float *row = (float *)(void *)(scratch + r->at_row);
    const size_t n = (size_t)y->ho * y->wo, values = (size_t)y->cin * y->h * y->w;
    const float *image = in;
    if (l->in.kind != KIND_F32) {
        float *as_floats = (float *)(void *)(scratch + r->at_float);
        reg_to_float(&l->in, in, as_floats);
        image = as_floats;
    }
    for (uint32_t s = 0; s < y->s; s++) pad_image(l, r, image + s * values, x + s * r->image);
    for (uint32_t o = 0; o < y->cout; o++) {
        const uint32_t *taps = r->taps + r->start[o];
        const size_t count = (size_t)(r->start[o + 1] - r->start[o]);
        const size_t flat = (size_t)(y->ho - 1) * r->wq + y->wo;
        for (uint32_t s = 0; s < y->s; s++) {
            float *to = r->wq == y->wo ? z + s * n : row;
            if (r->weights)
                l->k->rows_float(x + s * r->image, taps, r->weights + r->start[o], count, to, flat);
            else
                l->k->rows_ternary(x + s * r->image, taps, count, to, flat);
            if (to != row) continue;
            for (size_t yo = 0; yo < y->ho; yo++)
                memcpy(z + s * n + yo * y->wo, row + yo * r->wq, y->wo * sizeof *z);
        }
        layer_emit(l, o, z, n, y->alpha, out, scratch);
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
    uint64_t image = phase * phases * y->cin;
    r->image = (size_t)image;
    r->at_x = carve(&l->scratch, image * y->s * 4);
    r->at_row = carve(&l->scratch, phase * 4);
    r->at_float = carve(&l->scratch, l->in.kind == KIND_F32 ? 0 : (uint64_t)reg_values(&l->in) * 4);
    l->memory = y->kept * (y->ternary ? 4 : 8) + 8 * ((uint64_t)y->cout + 1);
    if (l->memory > MAX_MEMORY || l->scratch.bytes > MAX_MEMORY) return false;
    r->start = malloc(((size_t)y->cout + 1) * sizeof *r->start);
    r->taps = malloc((size_t)y->kept * sizeof *r->taps + 1);
    if (!y->ternary) r->weights = malloc((size_t)y->kept * sizeof *r->weights + 1);
    if (!r->start || !r->taps || (!y->ternary && !r->weights)) return false;
    fill_taps(l, r);
    return true;
}
