/* One source for every processor level: WORDS 64-bit words a vector, LEVEL its name. The
 * compiler's own vectors are used throughout; where the processor lacks them it splits them. */
#include "bits.h"
#include "kernels.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define CAT2(a, b) a##b
#define CAT(a, b) CAT2(a, b)
#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)
#define INLINE static inline __attribute__((always_inline))

#if WORDS == 1
typedef uint64_t V;
typedef uint64_t Vu;
#define FLOATS 4
#else
typedef uint64_t V __attribute__((vector_size(8 * WORDS), may_alias));
typedef uint64_t Vu __attribute__((vector_size(8 * WORDS), may_alias, aligned(8)));
#define FLOATS (2 * WORDS)
#endif
typedef float F __attribute__((vector_size(4 * FLOATS), may_alias));
typedef float Fu __attribute__((vector_size(4 * FLOATS), may_alias, aligned(4)));
typedef int32_t I __attribute__((vector_size(4 * FLOATS), may_alias));
typedef uint32_t U __attribute__((vector_size(4 * FLOATS), may_alias));

#define SPLAT(x) ((V){0} | (uint64_t)(x))
INLINE V load(const uint64_t *p) { return *(const Vu *)(const void *)p; }
INLINE void store(uint64_t *p, V v) { *(Vu *)(void *)p = v; }
INLINE F load_floats(const float *p) { return *(const Fu *)(const void *)p; }
INLINE void store_floats(float *p, F v) { *(Fu *)(void *)p = v; }

/* Full adders: sum s and carry c of three bits; INTO adds two bits to one that is kept. */
#if WORDS == 8 && defined(__AVX512F__)
INLINE V xor3(V a, V b, V c) {
    return (V)_mm512_ternarylogic_epi64((__m512i)a, (__m512i)b, (__m512i)c, 0x96);
}
INLINE V majority(V a, V b, V c) {
    return (V)_mm512_ternarylogic_epi64((__m512i)a, (__m512i)b, (__m512i)c, 0xe8);
}
INLINE V choose(V mask, V a, V b) {
    return (V)_mm512_ternarylogic_epi64((__m512i)mask, (__m512i)a, (__m512i)b, 0xca);
}
#define FULL(s, c, x, y, z)       \
    V s, c;                       \
    {                             \
        V x_ = x, y_ = y, z_ = z; \
        s = xor3(x_, y_, z_);     \
        c = majority(x_, y_, z_); \
    }
#define INTO(s, c, x, y)         \
    V c;                         \
    {                            \
        V x_ = x, y_ = y;        \
        c = majority(x_, y_, s); \
        s = xor3(x_, y_, s);     \
    }
#else
INLINE V majority(V a, V b, V c) { return (a & b) | (c & (a | b)); }
INLINE V choose(V mask, V a, V b) { return b ^ (mask & (a ^ b)); }
#define FULL(s, c, x, y, z)        \
    V s, c;                        \
    {                              \
        V x_ = x, y_ = y, z_ = z;  \
        V d_ = x_ ^ y_;            \
        s = d_ ^ z_;               \
        c = (x_ & y_) | (d_ & z_); \
    }
#define INTO(s, c, x, y)          \
    V c;                          \
    {                             \
        V x_ = x, y_ = y;         \
        V d_ = x_ ^ y_;           \
        c = (x_ & y_) | (d_ & s); \
        s = d_ ^ s;               \
    }
#endif
#define IN(k) (*(const V *)(const void *)(slab + list[k]))

#define PLANES 5
#include "tree.inc.h"
#define PLANES 6
#include "tree.inc.h"
#define PLANES 7
#include "tree.inc.h"
#define PLANES 8
#include "tree.inc.h"
#define PLANES 9
#include "tree.inc.h"
#define PLANES 10
#include "tree.inc.h"
#define PLANES 11
#include "tree.inc.h"
#define PLANES 12
#include "tree.inc.h"
#define PLANES 13
#include "tree.inc.h"
#define PLANES 14
#include "tree.inc.h"

static void tree(const uint64_t *slab, const uint16_t *list, const TreeRow *rows, size_t channels,
                 uint32_t planes, uint64_t *out, size_t channel, size_t plane) {
    static void (*const by_planes[])(const uint64_t *, const uint16_t *, const TreeRow *, size_t,
                                     uint64_t *, size_t, size_t) = {
        tree_5, tree_6, tree_7, tree_8, tree_9, tree_10, tree_11, tree_12, tree_13, tree_14};
    by_planes[planes - 5](slab, list, rows, channels, out, channel, plane);
}

/* A vector of the plane moved down by `shift` bits; planes have room before and after. */
INLINE V shifted(const uint64_t *plane, int64_t shift) {
    plane += shift >> 6;
    int r = (int)(shift & 63);
    return (load(plane) >> r) | (load(plane + 1) << 1 << (63 - r));
}

/* One word a step: what a shift moves past a word's end is outside of the plane. */
static void slab_of_words(const Taps *p, const uint64_t *planes, size_t flat, uint64_t *out) {
    for (size_t c = 0; c < p->channels; c++, planes += p->channel)
        for (size_t k = 0; k < p->taps; k++, out += WORDS) {
            int64_t d = p->shift[k];
            V v = load(planes + p->phase[k] + flat);
            if (d >= 64 || d <= -64) v = SPLAT(0);
            else if (d >= 0) v = v >> (int)d;
            else v = v << (int)-d;
            store(out, v & SPLAT(p->mask[k * p->mask_words]));
        }
}

static void slab_of_vectors(const Taps *p, const uint64_t *planes, size_t at, size_t word,
                            uint64_t *out) {
    for (size_t c = 0; c < p->channels; c++, planes += p->channel)
        for (size_t k = 0; k < p->taps; k++, out += WORDS)
            store(out, shifted(planes + p->phase[k] + at, p->shift[k]) &
                           load(p->mask + k * p->mask_words + word));
}

static void slab(const Taps *p, const uint64_t *planes, size_t first, size_t flat, uint64_t *out) {
    if (p->single) {
        slab_of_words(p, planes, flat, out);
        return;
    }
    if (p->tile % WORDS == 0) {
        size_t word = first + flat % p->tile;
        slab_of_vectors(p, planes, flat / p->tile * p->step + word, word, out);
        return;
    }
    for (size_t c = 0; c < p->channels; c++, planes += p->channel)
        for (size_t k = 0; k < p->taps; k++, out += WORDS)
            for (size_t i = 0; i < WORDS; i++) {
                size_t t = (flat + i) / p->tile, word = first + (flat + i) % p->tile;
                if (t >= p->steps) {
                    out[i] = 0;
                    continue;
                }
                const uint64_t *w = planes + p->phase[k] + t * p->step + word + (p->shift[k] >> 6);
                int r = (int)(p->shift[k] & 63);
                out[i] = (w[0] >> r | w[1] << 1 << (63 - r)) & p->mask[k * p->mask_words + word];
            }
}

/* x >= threshold, for x of `length` planes: the carry of x + (complement of the threshold) + 1. */
INLINE V at_least(const V *x, uint32_t length, const uint64_t *thresholds, bool broadcast) {
    V g = SPLAT(~(uint64_t)0);
    for (uint32_t j = 0; j < length; j++) {
        V t = SPLAT(0);
        if (broadcast) t = SPLAT(thresholds[j]);
        else t = load(thresholds + (size_t)j * WORDS);
        g = majority(x[j], t, g);
    }
    return g;
}

/* The membrane after t steps without a spike is the sum of c[t-j] / 2^j: an integer of 2^-t.
 * A plane t places lower is one that was halved t times. See bitsliced_plan.c. */
INLINE void fire_planes_as(const uint64_t *counters, size_t plane, size_t step, uint32_t planes,
                           uint32_t steps, bool memory, const uint64_t *thresholds, bool broadcast,
                           uint64_t *out, size_t out_step) {
    V x[MAX_PLANES + PLANE_STEPS + 1], fired[PLANE_STEPS];
    const size_t unit = broadcast ? 1 : WORDS;
    uint32_t length = 0;
    for (uint32_t t = 0; t < steps; t++) {
        const uint64_t *c = counters + t * step;
        uint32_t f = memory ? t : 0;
        if (f == 0) {
            for (uint32_t j = 0; j < planes; j++) x[j] = load(c + j * plane);
            x[planes] = SPLAT(0);
        } else {
            V keep = ~fired[t - 1], carry = SPLAT(0);
            for (uint32_t j = 0; j < length; j++) x[j] &= keep;
            for (uint32_t j = length; j <= f + planes; j++) x[j] = SPLAT(0);
            for (uint32_t j = 0; j < planes; j++) {
                FULL(sum, next, x[f + j], load(c + j * plane), carry)
                x[f + j] = sum;
                carry = next;
            }
            x[f + planes] = carry;
        }
        length = f + planes + 1;
        /* k steps since the last spike, at step t - k, or (k = f + 1) since the start */
        const uint64_t *th = thresholds;
        for (uint32_t k = 1; k <= f; k++) th += (planes + k) * unit;
        V result = at_least(x, planes + f + 1, th, broadcast);
        for (uint32_t k = f; k > 0; k--) {
            th -= (planes + k) * unit;
            V g = at_least(x + (f + 1 - k), planes + k, th, broadcast);
            result = choose(fired[t - k], g, result);
        }
        fired[t] = result;
        store(out + t * out_step, result);
    }
}

/* Turns counters [channel][plane][step] of WORDS channels and WORDS steps, one word each, into
 * [step][plane][channel]. */
static void turn(const uint64_t *counters, size_t channel, size_t plane, uint32_t planes,
                 uint64_t *out) {
#if WORDS == 4 && defined(__AVX2__)
    for (uint32_t j = 0; j < planes; j++, counters += plane, out += WORDS) {
        __m256i a[4], b[4];
        for (size_t q = 0; q < 4; q++)
            a[q] = _mm256_loadu_si256((const __m256i *)(const void *)(counters + q * channel));
        for (int q = 0; q < 4; q += 2) {
            b[q] = _mm256_unpacklo_epi64(a[q], a[q + 1]);
            b[q + 1] = _mm256_unpackhi_epi64(a[q], a[q + 1]);
        }
        const size_t step = (size_t)planes * WORDS;
        for (size_t h = 0; h < 2; h++) {
            store(out + h * step, (V)_mm256_permute2x128_si256(b[h], b[h + 2], 0x20));
            store(out + (h + 2) * step, (V)_mm256_permute2x128_si256(b[h], b[h + 2], 0x31));
        }
    }
#else
    for (uint32_t j = 0; j < planes; j++)
        for (size_t s = 0; s < WORDS; s++)
            for (size_t q = 0; q < WORDS; q++)
                out[(s * planes + j) * WORDS + q] = counters[q * channel + j * plane + s];
#endif
}

static void fire_planes(const uint64_t *counters, size_t plane, size_t step, uint32_t planes,
                        uint32_t steps, bool memory, const uint64_t *thresholds, bool broadcast,
                        uint64_t *out, size_t out_step) {
#define FIRE(planes_, steps_, memory_)                                                          \
    if (broadcast)                                                                              \
        fire_planes_as(counters, plane, step, planes_, steps_, memory_, thresholds, true, out,  \
                       out_step);                                                               \
    else                                                                                        \
        fire_planes_as(counters, plane, step, planes_, steps_, memory_, thresholds, false, out, \
                       out_step)
    /* the usual cases get straight code */
    switch (memory && steps == 4 ? planes : 0) {
    case 7: FIRE(7, 4, true); break;
    case 8: FIRE(8, 4, true); break;
    case 9: FIRE(9, 4, true); break;
    case 10: FIRE(10, 4, true); break;
    default: FIRE(planes, steps, memory);
    }
#undef FIRE
}

static void expand(const uint64_t *counters, size_t plane, uint32_t planes, size_t words,
                   float offset, float *z) {
    for (size_t w = 0; w < words; w++) {
        uint32_t n[64] = {0};
        for (uint32_t j = 0; j < planes; j++) {
            uint64_t bits = counters[j * plane + w];
            uint32_t half[2] = {(uint32_t)bits, (uint32_t)(bits >> 32)};
            for (int h = 0; h < 2; h++)
                for (uint32_t i = 0; i < 32; i++) n[32 * h + i] |= (half[h] >> i & 1) << j;
        }
        for (int i = 0; i < 64; i++) z[64 * w + (size_t)i] = (float)(int32_t)n[i] - offset;
    }
}

#include "dots.inc.h"
#include "floats.inc.h"
#include "windows.inc.h"

/* 2x2 windows side by side, of rows that fit half a word: two rows are read at once. */
static void pool_halves(const uint64_t *in, const Pool *p, uint64_t *out) {
    const size_t w = p->w, wo = p->wo;
    const uint64_t wanted = ((uint64_t)1 << wo) - 1;
    for (size_t y = 0; y < p->ho; y++) {
        uint64_t v = bits_at(in, 2 * y * w, 2 * w);
        v |= v >> w;
        v |= v >> 1;
        put_bits(out, y * wo, even_bits(v) & wanted, wo);
    }
}

/* Or of the windows: the rows first, then the columns of what is left, then every stride-th. */
static void pool(const uint64_t *in, const Pool *p, uint64_t *out) {
    if (p->k == 2 && p->stride == 2 && p->pad == 0 && p->w <= 32) {
        pool_halves(in, p, out);
        return;
    }
    const size_t wide = p->k < 33 ? (64 - p->k) / p->stride + 1 : 1;
    for (size_t y = 0; y < p->ho; y++)
        for (size_t x = 0; x < p->wo; x += wide) {
            size_t n = p->wo - x < wide ? p->wo - x : wide;
            uint64_t seen = 0;
            for (size_t from = 0; from < p->k; from += 32) {
                size_t columns = p->k - from < 32 ? p->k - from : 32;
                uint64_t any = 0, some = 0;
                int64_t left = (int64_t)(x * p->stride + from) - p->pad;
                for (size_t ky = 0; ky < p->k; ky++)
                    any |=
                        row_bits(in, p->h, p->w, (int64_t)(y * p->stride + ky) - p->pad, left, 64);
                for (size_t kx = 0; kx < columns; kx++) some |= any >> kx;
                seen |= thin_bits(some, p->stride);
            }
            put_bits(out, y * p->wo + x, n < 64 ? seen & (((uint64_t)1 << n) - 1) : seen, n);
        }
}

const Kernels CAT(st_kernels_, LEVEL) = {.name = TEXT(LEVEL),
                                         .words = WORDS,
                                         .dot_words = DOT_WORDS,
                                         .rows_ternary = rows_ternary,
                                         .rows_float = rows_float,
                                         .rows_whole = rows_whole,
                                         .events = events,
                                         .tiles = tiles,
                                         .overlaps = overlaps,
                                         .mix = mix,
                                         .windows = windows,
                                         .affine = affine,
                                         .unpack = unpack,
                                         .fire = fire,
                                         .dots = dots,
                                         .tree = tree,
                                         .slab = slab,
                                         .turn = turn,
                                         .fire_planes = fire_planes,
                                         .pool_planes = pool_planes,
                                         .expand = expand,
                                         .pool = pool};
