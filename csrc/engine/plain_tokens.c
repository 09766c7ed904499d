/* The ops of transformers, each on its own: attention, and which tokens go on. */
#include "plain.h"

#include <math.h>

/* q (k^T v): the same whole numbers as (q k^T) v, in less work where tokens outnumber a head.
 * Without k and v as float they are spikes. */
static void attend(const Plain *p, const float *const x[3], size_t s, size_t c) {
    enum { SOME = 64 };
    const Reg *r = p->out;
    const Kernels *run = p->net->k;
    const float *q = x[0], *k = x[1], *v = x[2], scale = as_float(p->w[6]);
    const size_t n = positions(r), words = words_of(n), head = r->c / p->w[5];
    const size_t row = s * r->c + c, first = row - c % head;
    const uint64_t *const key = p->data[1], *const value = p->data[2];
    float *o = (float *)p->to + row * n;
    memset(o, 0, n * sizeof *o);
    for (size_t done = 0; done < head; done += SOME) {
        const size_t count = head - done < SOME ? head - done : SOME, e = first + done;
        float weights[SOME] = {0};
        if (!k)
            run->overlaps(key + (e % r->c * r->s + s) * words, r->s * words, count,
                          value + (c * r->s + s) * words, words, weights);
        else
            for (size_t j = 0; j < count; j++)
                for (size_t i = 0; i < n; i++) weights[j] += k[(e + j) * n + i] * v[row * n + i];
        run->mix(weights, count, q + e * n, n, o, n);
    }
    for (size_t i = 0; i < n; i++) o[i] = scale * o[i];
}

void op_attention(const Plain *p) {
    const bool bits = p->in[1]->kind == KIND_SPK && p->in[2]->kind == KIND_SPK;
    const float *const x[3] = {plain_in(p, 0), bits ? NULL : plain_in(p, 1),
                               bits ? NULL : plain_in(p, 2)};
    for (size_t s = 0; s < p->out->s; s++)
        for (size_t c = p->first; c < p->last; c++) attend(p, x, s, c);
}

void op_tokensum(const Plain *p) {
    const float *k = plain_in(p, 0), *v = plain_in(p, 1), scale = as_float(p->w[5]);
    const Reg *r = p->out;
    const size_t n = positions(p->in[0]);
    for (size_t s = 0; s < r->s; s++)
        for (size_t row = s * r->c + p->first; row < s * r->c + p->last; row++) {
            float sum = 0;
            for (size_t i = row * n; i < (row + 1) * n; i++) sum += k[i] * v[i];
            ((float *)p->to)[row] = scale * sum;
        }
}

void op_mask(const Plain *p) {
    const Reg *r = p->out;
    const float *x = plain_in(p, 0), *m = plain_in(p, 1);
    float *z = plain_out(p);
    const size_t n = positions(r), few = positions(p->in[1]);
    for (size_t s = 0; s < r->s; s++)
        for (size_t i = (s * r->c + p->first) * n; i < (s * r->c + p->last) * n; i++) {
            const size_t at = few == 1 ? i / n : i;
            z[i] = m[at] != 0 ? x[i] : 0;
        }
    plain_pack(p);
}

static void score_rate(const Reg *r, const float *x, float *to) {
    const size_t n = positions(r), rows = (size_t)r->s * r->c;
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        double whole = 0;
        for (size_t row = 0; row < rows; row++) sum += x[row * n + i], whole += x[row * n + i];
        if (r->kind != KIND_F32) sum = (float)whole;
        to[i] = sum / (float)rows;
    }
}

static void score_norm(const Reg *r, const float *x, float *to) {
    const size_t n = positions(r), step = r->c * n;
    for (size_t i = 0; i < n; i++) {
        float squares = 0;
        for (size_t c = 0; c < r->c; c++) {
            float sum = 0;
            for (size_t s = 0; s < r->s; s++) sum += x[s * step + c * n + i];
            const float mean = sum / (float)r->s;
            squares += mean * mean;
        }
        to[i] = sqrtf(squares);
    }
}

static void score_pairs(const Reg *r, bool columns, const float *x, const float *y, float *to) {
    const size_t n = positions(r), rows = (size_t)r->s * r->c;
    memset(to, 0, n * sizeof *to);
    for (size_t row = 0; row < rows; row++) {
        const float *a = x + row * n, *b = y + row * n;
        float sum = 0;
        for (size_t i = 0; i < n; i++) sum += a[i];
        for (size_t i = 0; i < n; i++) to[i] += columns ? b[i] * sum : a[i] * b[i];
    }
}

static float mean_of(const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    return (float)(sum / (double)n);
}

/* Squared deviations from the mean of their channel and step, averaged over the steps, summed over
 * the channels, averaged over each patch. */
static void score_energy(const Reg *r, const float *x, uint32_t rows, uint32_t columns,
                         float *means, float *to) {
    const size_t n = positions(r), h = r->h / rows, w = r->w / columns;
    for (size_t i = 0; i < (size_t)r->s * r->c; i++) means[i] = mean_of(x + i * n, n);
    for (size_t patch = 0; patch < (size_t)rows * columns; patch++) {
        float all = 0;
        for (size_t y = 0; y < h; y++)
            for (size_t c = 0; c < w; c++) {
                const size_t at = (patch / columns * h + y) * r->w + patch % columns * w + c;
                float pixel = 0;
                for (size_t channel = 0; channel < r->c; channel++) {
                    float sum = 0;
                    for (size_t s = 0; s < r->s; s++) {
                        const float d =
                            x[(s * r->c + channel) * n + at] - means[s * r->c + channel];
                        sum += d * d;
                    }
                    pixel += sum / (float)r->s;
                }
                all += pixel;
            }
        to[patch] = all / (float)(h * w);
    }
}

void op_score(const Plain *p) {
    const uint32_t kind = p->w[5];
    const float *x = plain_in(p, 0);
    const Reg *r = p->in[0];
    switch (kind) {
    case SCORE_RATE: score_rate(r, x, p->to); break;
    case SCORE_NORM: score_norm(r, x, p->to); break;
    case SCORE_ENERGY: score_energy(r, x, p->w[6], p->w[7], p->room, p->to); break;
    default: score_pairs(r, kind == SCORE_COLUMNS, x, plain_in(p, 1), p->to);
    }
}

/* Whether score a ranks before score b; a number before what is not one. */
static bool before(float a, float b) { return a > b || (isnan(b) && !isnan(a)); }

static bool worse(const float *x, int32_t a, int32_t b) {
    return before(x[b], x[a]) || (!before(x[a], x[b]) && a > b);
}

/* A heap with the worst of those kept on top: the smallest score, of equals the latest. */
static void sift(const float *x, int32_t *heap, size_t n, size_t i) {
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) return;
        if (child + 1 < n && worse(x, heap[child + 1], heap[child])) child++;
        if (!worse(x, heap[child], heap[i])) return;
        const int32_t up = heap[child];
        heap[child] = heap[i];
        heap[i] = up;
        i = child;
    }
}

void op_topk(const Plain *p) {
    const float *x = p->data[0];
    const size_t n = positions(p->in[0]), k = p->out->w;
    int32_t *ids = p->to;
    uint8_t *chosen = (uint8_t *)p->room;
    memset(chosen, 0, n);
    for (size_t i = 0; i < k; i++) ids[i] = (int32_t)i;
    for (size_t i = k; i-- > 0;) sift(x, ids, k, i);
    for (size_t i = k; i < n; i++)
        if (before(x[i], x[ids[0]])) {
            ids[0] = (int32_t)i;
            sift(x, ids, k, 0);
        }
    for (size_t i = 0; i < k; i++) chosen[ids[i]] = 1;
    for (size_t i = 0, at = 0; i < n; i++)
        if (chosen[i]) ids[at++] = (int32_t)i;
}

void op_gather(const Plain *p) {
    const Reg *r = p->out;
    const float *x = plain_in(p, 0);
    const int32_t *ids = p->data[1];
    float *z = plain_out(p);
    const size_t n = positions(p->in[0]);
    for (size_t s = 0; s < r->s; s++)
        for (size_t row = s * r->c + p->first; row < s * r->c + p->last; row++)
            for (size_t i = 0; i < r->w; i++) z[row * r->w + i] = x[row * n + (size_t)ids[i]];
    plain_pack(p);
}

void op_constids(const Plain *p) {
    memcpy(p->to, array_at(&p->net->p, p->w[6], p->out->w), p->out->w * sizeof(int32_t));
}

static void keep_patches(const Plain *p, size_t plane) {
    const Reg *r = p->out;
    const int32_t *ids = p->data[1];
    const size_t rows = p->w[5], columns = p->w[6], h = r->h / rows, w = r->w / columns;
    memset((float *)p->to + plane * positions(r), 0, positions(r) * sizeof(float));
    for (size_t i = 0; i < p->in[1]->w; i++)
        for (size_t y = 0; y < h; y++) {
            const size_t id = (size_t)ids[i], row = id / columns * h + y;
            const size_t at = (plane * r->h + row) * r->w + id % columns * w;
            memcpy((float *)p->to + at, (const float *)p->data[0] + at, w * sizeof(float));
        }
}

void op_zerofill(const Plain *p) {
    for (size_t s = 0; s < p->out->s; s++)
        for (size_t c = p->first; c < p->last; c++) keep_patches(p, s * p->out->c + c);
}
