/* Bit planes: bit y*w+x of a plane is the position (y, x). */
#ifndef ST_BITS_H
#define ST_BITS_H

#include "internal.h"

#if defined(__BMI2__)
#include <immintrin.h>
#endif

/* n <= 64 bits from bit `at` on; the words that hold them must exist. */
static inline uint64_t bits_at(const uint64_t *p, size_t at, size_t n) {
    size_t k = at / 64, r = at % 64;
    uint64_t v = p[k] >> r;
    if (r + n > 64) v |= p[k + 1] << (64 - r);
    return n < 64 ? v & (((uint64_t)1 << n) - 1) : v;
}

/* Columns x..x+n-1 (n <= 64) of row y of a plane [h][w]; 0 outside of it. */
static inline uint64_t row_bits(const uint64_t *p, size_t h, size_t w, int64_t y, int64_t x,
                                size_t n) {
    if (y < 0 || y >= (int64_t)h) return 0;
    int64_t first = x < 0 ? 0 : x, end = x + (int64_t)n;
    if (end > (int64_t)w) end = (int64_t)w;
    if (first >= end) return 0;
    return bits_at(p, (size_t)y * w + (size_t)first, (size_t)(end - first)) << (first - x);
}

/* Sets n <= 64 bits from bit `at` on; they must be 0 before. */
static inline void put_bits(uint64_t *p, size_t at, uint64_t v, size_t n) {
    size_t k = at / 64, r = at % 64;
    p[k] |= v << r;
    if (r + n > 64) p[k + 1] |= v >> (64 - r);
}

static inline uint64_t even_bits(uint64_t v) {
#if defined(__BMI2__)
    return _pext_u64(v, 0x5555555555555555u);
#else
    v &= 0x5555555555555555u;
    v = (v | v >> 1) & 0x3333333333333333u;
    v = (v | v >> 2) & 0x0f0f0f0f0f0f0f0fu;
    v = (v | v >> 4) & 0x00ff00ff00ff00ffu;
    v = (v | v >> 8) & 0x0000ffff0000ffffu;
    return (v | v >> 16) & 0xffffffffu;
#endif
}

/* Every stride-th bit of v, from bit 0 on. */
static inline uint64_t thin_bits(uint64_t v, size_t stride) {
    if (stride == 1) return v;
    if (stride == 2) return even_bits(v);
    uint64_t out = 0;
    for (size_t from = 0, to = 0; from < 64; from += stride, to++) out |= (v >> from & 1) << to;
    return out;
}

/* The rows of a plane of pitch `from`, cut or widened to the pitch `to`; out must be 0 before. */
static inline void repitch(const uint64_t *in, size_t rows, size_t from, size_t to, uint64_t *out) {
    size_t width = from < to ? from : to;
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < width; x += 64) {
            size_t n = width - x < 64 ? width - x : 64;
            put_bits(out, y * to + x, bits_at(in, y * from + x, n), n);
        }
}

/* 64 x 64 bits: bit j of word i becomes bit i of word j (Warren, Hacker's Delight, 7-3). */
static inline void transpose64(uint64_t *a) {
    uint64_t m = 0x00000000ffffffffu;
    for (int j = 32; j; j >>= 1, m ^= m << j)
        for (int k = 0; k < 64; k = (k + j + 1) & ~j) {
            uint64_t t = (a[k] >> j ^ a[k + j]) & m;
            a[k] ^= t << j;
            a[k + j] ^= t;
        }
}

#endif
