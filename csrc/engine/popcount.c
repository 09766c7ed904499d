/* A ternary layer by counting bits: spikes packed along the input channels, 64 a word.
 *
 * With `kept` the mask and `negative` the kept weights of sign -1,
 *     popcount(negative ^ (x & kept)) = sum of sign*x over the kept weights + |negative|,
 * one popcount where the two signs would take two. Zero padding needs no care: x = 0 gives
 * |negative|. Whole numbers are added bit by bit, each bit weighing twice the one before. */
#include "net.h"

#include "bits.h"

#include <stdlib.h>

typedef struct {
    uint32_t bits, hp, wp; /* bits of an input value; padded size */
    size_t words;          /* of a position */
    bool linear;           /* one position: the steps take its place in the inner loop */
    size_t at_x, at_sums, at_z, at_fired;
    size_t length;     /* words of a kernel's row, rounded up to groups of dot_words */
    uint64_t *weights; /* [cout][kh][length] as the kernel `dots` takes them */
    uint32_t *negative;
} Popcount;

static void popcount_free(void *plan) {
    Popcount *p = plan;
    if (!p) return;
    free(p->weights);
    free(p->negative);
    free(p);
}

/* The words of 64 channels from `c` on, for 64 positions from 64*w on, of bit b at step s. */
static void gather_channels(const Layer *l, const void *in, size_t c, size_t s, size_t w,
                            uint32_t b, uint64_t *a) {
    const size_t n = positions(&l->in), words = words_of(n), channels = l->in.c - c;
    for (size_t k = 0; k < 64; k++) {
        a[k] = 0;
        if (k >= channels) continue;
        if (l->in.kind == KIND_SPK) {
            a[k] = ((const uint64_t *)in)[((c + k) * l->in.s + s) * words + w];
            continue;
        }
        const uint16_t *v = (const uint16_t *)in + (s * l->in.c + c + k) * n + 64 * w;
        size_t m = n - 64 * w < 64 ? n - 64 * w : 64;
        for (size_t i = 0; i < m; i++) a[k] |= (uint64_t)(v[i] >> b & 1) << i;
    }
}

static void pack_positions(const Layer *l, const Popcount *p, const void *in, uint64_t *x,
                           size_t first, size_t last) {
    const Synapse *y = &l->y;
    const size_t n = positions(&l->in), image = (size_t)p->hp * p->wp * p->words;
    for (size_t s = first; s < last; s++)
        for (uint32_t b = 0; b < p->bits; b++)
            for (size_t block = 0; block < p->words; block++)
                for (size_t w = 0; w < words_of(n); w++) {
                    uint64_t a[64];
                    gather_channels(l, in, 64 * block, s, w, b, a);
                    transpose64(a);
                    uint64_t *to = x + (s * p->bits + b) * image + block;
                    for (size_t i = 64 * w; i < n && i < 64 * w + 64; i++)
                        to[((i / y->w + y->pad) * p->wp + i % y->w + y->pad) * p->words] =
                            a[i % 64];
                }
}

/* One position of cin = channels x positions bits, in (channel, y, x) order. */
static void pack_flat(const Layer *l, const Popcount *p, const void *in, uint64_t *x, size_t first,
                      size_t last) {
    const size_t n = positions(&l->in), words = words_of(n), S = l->y.s;
    const size_t pad = l->y.pad; /* 0 or the only position in the middle of zeros */
    const size_t image = (size_t)p->hp * p->wp * p->words;
    for (size_t s = first; s < last; s++)
        for (uint32_t b = 0; b < p->bits; b++) {
            uint64_t *to = x + (s * p->bits + b) * image + (pad * p->wp + pad) * p->words;
            for (size_t c = 0; c < l->in.c; c++)
                for (size_t w = 0; w < words; w++) {
                    size_t m = n - 64 * w < 64 ? n - 64 * w : 64;
                    uint64_t v = 0;
                    if (l->in.kind == KIND_SPK) {
                        v = ((const uint64_t *)in)[(c * S + s) * words + w];
                    } else {
                        const uint16_t *u = (const uint16_t *)in + (s * l->in.c + c) * n + 64 * w;
                        for (size_t i = 0; i < m; i++) v |= (uint64_t)(u[i] >> b & 1) << i;
                    }
                    put_bits(to, c * n + 64 * w, v, m);
                }
        }
}

static void sums_of(const Layer *l, const Popcount *p, const uint64_t *x, uint32_t o,
                    uint64_t *sums, float *z) {
    const Synapse *y = &l->y;
    const size_t n = (size_t)y->ho * y->wo, image = (size_t)p->hp * p->wp * p->words;
    const size_t length = p->length, pitch = p->wp * p->words;
    const uint64_t *w = p->weights + (size_t)o * y->kh * length * 2;
    const float start = (float)p->negative[o];
    const size_t lines = p->linear ? 1 : (size_t)y->s * y->ho, count = p->linear ? y->s : y->wo;
    const size_t step = p->linear ? image * p->bits : y->stride * p->words;
    for (size_t line = 0; line < lines; line++) {
        const uint64_t *from = x;
        if (!p->linear) from += line / y->ho * image * p->bits + line % y->ho * y->stride * pitch;
        float *to = z + line / y->ho * n + line % y->ho * y->wo;
        for (uint32_t b = 0; b < p->bits; b++) {
            l->k->dots(from + b * image, pitch, step, count, w, y->kh, length, sums);
            for (size_t i = 0; i < count; i++) {
                float sum = ((float)sums[i] - start) * (float)(1u << b);
                to[i] = b ? to[i] + sum : sum;
            }
        }
    }
}

/* One position: the neurons of 64 channels, a unit, fire together, side by side. */
static void linear_run(const Layer *l, const Popcount *p, const Share *share, uint64_t *out) {
    const Synapse *y = &l->y;
    const uint64_t *x = (const uint64_t *)(const void *)(share->shared + p->at_x);
    uint64_t *sums = (uint64_t *)(void *)(share->own + p->at_sums);
    uint64_t *fired = (uint64_t *)(void *)(share->own + p->at_fired);
    float *z = (float *)(void *)(share->own + p->at_z);
    const size_t words = words_of(y->cout), first = 64 * share->first;
    const size_t last = 64 * share->last < y->cout ? 64 * share->last : y->cout;
    for (size_t o = first; o < last; o++) {
        float n[MAX_STEPS];
        sums_of(l, p, x, (uint32_t)o, sums, n);
        for (uint32_t s = 0; s < y->s; s++) {
            float v = y->alpha * n[s];
            if (y->bias) v = v + y->bias[o];
            if (y->a) v = y->a[o] * v + y->b[o];
            z[s * y->cout + o] = v;
        }
    }
    if (first < last)
        l->k->fire(z + first, y->s == 1 ? 0 : y->cout, l->steps, last - first, &l->neuron,
                   fired + share->first, words, membranes_at(l, share, first, 0));
    for (size_t o = first; o < last; o++)
        for (size_t t = 0; t < l->steps; t++)
            out[o * l->steps + t] = fired[t * words + o / 64] >> o % 64 & 1;
}

static bool side_by_side(const Layer *l) {
    return l->y.ho == 1 && l->y.wo == 1 && l->fires && !l->pools;
}

/* A unit is one step. */
static void pack_input(const Layer *l, const void *in, const Share *share) {
    const Popcount *p = l->plan;
    uint64_t *x = (uint64_t *)(void *)(share->shared + p->at_x);
    const size_t step = (size_t)p->hp * p->wp * p->words * p->bits;
    memset(x + share->first * step, 0, (share->last - share->first) * step * 8);
    if (l->y.flatten || positions(&l->in) == 1) pack_flat(l, p, in, x, share->first, share->last);
    else pack_positions(l, p, in, x, share->first, share->last);
}

static void popcount_run(const Layer *l, const void *in, void *out, const Share *share) {
    const Popcount *p = l->plan;
    if (share->phase == 0) {
        pack_input(l, in, share);
        return;
    }
    if (side_by_side(l)) {
        linear_run(l, p, share, out);
        return;
    }
    const uint64_t *x = (const uint64_t *)(const void *)(share->shared + p->at_x);
    uint64_t *sums = (uint64_t *)(void *)(share->own + p->at_sums);
    float *z = (float *)(void *)(share->own + l->at_z);
    for (size_t o = share->first; o < share->last; o++) {
        sums_of(l, p, x, (uint32_t)o, sums, z);
        layer_emit(l, (uint32_t)o, z, (size_t)l->y.ho * l->y.wo, l->y.alpha, out, share);
    }
}

static void fill_weights(const Layer *l, Popcount *p) {
    const Synapse *y = &l->y;
    uint64_t i = 0;
    const size_t group = (size_t)l->k->dot_words;
    for (size_t o = 0; o < y->cout; o++)
        for (size_t c = 0; c < y->cin; c++)
            for (size_t ky = 0; ky < y->kh; ky++)
                for (size_t kx = 0; kx < y->kw; kx++, i++) {
                    if (!kept_bit(y->keep, i)) continue;
                    const size_t word = kx * p->words + c / 64;
                    uint64_t *w = p->weights +
                                  ((o * y->kh + ky) * p->length + word / group * group) * 2 +
                                  word % group;
                    const uint64_t bit = (uint64_t)1 << c % 64;
                    w[group] |= bit;
                    if (kept_bit(y->sign, i)) continue;
                    w[0] |= bit;
                    p->negative[o]++;
                }
}

bool popcount_plan(Layer *l) {
    const Synapse *y = &l->y;
    Popcount *p = calloc(1, sizeof *p);
    if (!p) return false;
    l->plan = p;
    l->free_plan = popcount_free;
    l->run = popcount_run;
    for (p->bits = 1; l->in.most >> p->bits; p->bits++) {}
    p->hp = y->h + 2 * y->pad;
    p->wp = y->w + 2 * y->pad;
    p->words = words_of(y->cin);
    p->linear = y->ho == 1 && y->wo == 1;
    uint64_t image = (uint64_t)p->hp * p->wp; /* < 2^36 */
    if (image > MAX_MEMORY / p->words) return false;
    image *= p->words;
    p->length = round_up(y->kw * p->words, (size_t)l->k->dot_words);
    const uint64_t count = (uint64_t)y->cout * y->kh * p->length; /* < 2^31 */
    l->memory = count * 16 + (uint64_t)y->cout * 4;
    p->at_x = carve(&l->scratch.shared, image * y->s * p->bits * 8);
    p->at_sums = carve(&l->scratch.own, (uint64_t)(y->wo > y->s ? y->wo : y->s) * 8);
    p->at_z = carve(&l->scratch.own, (uint64_t)y->cout * y->s * 4);
    p->at_fired = carve(&l->scratch.own, words_of(y->cout) * (uint64_t)l->steps * 8);
    l->phases = 2;
    l->units[0] = y->s;
    l->units[1] = side_by_side(l) ? words_of(y->cout) : y->cout;
    if (l->memory > MAX_MEMORY || !scratch_fits(&l->scratch)) return false;
    p->weights = calloc((size_t)count, 16);
    p->negative = calloc(y->cout, sizeof *p->negative);
    if (!p->weights || !p->negative) return false;
    fill_weights(l, p);
    return true;
}
