/* The carry-save adder tree with PLANES planes a counter; included by kernels.inc.h. */

#define HALF(h)                \
    {                          \
        V next_ = (h) & carry; \
        (h) ^= carry;          \
        carry = next_;         \
    }
#define RIPPLE(from) \
    { _Pragma("GCC unroll 16") for (int j = from; j < PLANES; j++) HALF(s[j]) }

static inline __attribute__((always_inline)) const uint16_t *CAT(add_, PLANES)(const uint64_t *slab,
                                                                               const uint16_t *list,
                                                                               unsigned groups,
                                                                               V *s) {
    for (unsigned i = groups >> 2; i; i--, list += 16) {
        FULL(a0, b0, IN(0), IN(1), IN(2))
        FULL(a1, b1, IN(3), IN(4), IN(5))
        FULL(a2, b2, IN(6), IN(7), IN(8))
        FULL(a5, b5, a0, a1, a2)
        FULL(c0, d0, b0, b1, b2)
        FULL(a3, b3, IN(9), IN(10), IN(11))
        FULL(a4, b4, IN(12), IN(13), IN(14))
        FULL(a6, b6, a3, a4, IN(15))
        INTO(s[0], b7, a5, a6)
        FULL(c1, d1, b3, b4, b5)
        FULL(c2, d2, b6, b7, c0)
        INTO(s[1], d3, c1, c2)
        FULL(e, f0, d0, d1, d2)
        INTO(s[2], f1, e, d3)
        INTO(s[3], carry, f0, f1)
        RIPPLE(4)
    }
    if (groups & 2) {
        FULL(a0, b0, IN(0), IN(1), IN(2))
        FULL(a1, b1, IN(3), IN(4), IN(5))
        FULL(a2, b2, IN(6), IN(7), a0)
        INTO(s[0], b3, a1, a2)
        FULL(c0, d0, b0, b1, b2)
        INTO(s[1], d1, c0, b3)
        INTO(s[2], carry, d0, d1)
        RIPPLE(3)
        list += 8;
    }
    if (groups & 1) {
        FULL(a0, b0, IN(0), IN(1), IN(2))
        INTO(s[0], b1, a0, IN(3))
        INTO(s[1], carry, b0, b1)
        RIPPLE(2)
        list += 4;
    }
    return list;
}

static void CAT(tree_, PLANES)(const uint64_t *slab, const uint16_t *list, const TreeRow *rows,
                               size_t channels, uint64_t *out, size_t channel, size_t plane) {
    for (size_t o = 0; o < channels; o++) {
        V s[PLANES];
        for (int j = 0; j < PLANES; j++) s[j] = SPLAT(-(uint64_t)(rows[o].start >> j & 1));
        list = CAT(add_, PLANES)(slab, list, rows[o].negative, s);
        for (int j = 0; j < PLANES; j++) s[j] = ~s[j];
        list = CAT(add_, PLANES)(slab, list, rows[o].positive, s);
        for (int j = 0; j < PLANES; j++) store(out + o * channel + (size_t)j * plane, s[j]);
    }
}

#undef HALF
#undef RIPPLE
#undef PLANES
