/* Compiled once for each width of distances: NEXT_GAP gives the next one, 0 stands for MOST_GAP. */
#define NEXT(value) \
    do { \
        uint32_t gap_; \
        for (;;) { \
            NEXT_GAP(gap_); \
            if (gap_) break; \
            at += MOST_GAP; \
        } \
        at += gap_; \
        (value) = in[at] ^ invert; \
    } while (0)

/* Adds one list's inputs to `sum`; returns where the next list starts. */
static const uint8_t *ADD_LIST(const uint8_t *weights, const uint32_t *in, uint32_t invert,
                               uint32_t *sum, uint32_t planes)
{
    uint32_t count, at = ALL, ones = sum[0], twos = sum[1], fours = sum[2];
    START_GAPS;
    weights = read_count(weights, &count);
    for (; count >= 8u; count -= 8u) {
        uint32_t a, b, c, d, e, f;
        NEXT(a); NEXT(b); ADD2(ones, a, b, c);
        NEXT(a); NEXT(b); ADD2(ones, a, b, d);
        ADD2(twos, c, d, e);
        NEXT(a); NEXT(b); ADD2(ones, a, b, c);
        NEXT(a); NEXT(b); ADD2(ones, a, b, d);
        ADD2(twos, c, d, f);
        ADD2(fours, e, f, a);
        RIPPLE(a, 3u);
    }
    for (; count >= 2u; count -= 2u) {
        uint32_t a, b, c, d;
        NEXT(a); NEXT(b); ADD2(ones, a, b, c);
        d = twos & c; twos ^= c;
        a = fours & d; fours ^= d;
        RIPPLE(a, 3u);
    }
    if (count) {
        uint32_t a, b;
        NEXT(a);
        b = ones & a; ones ^= a;
        a = twos & b; twos ^= b;
        b = fours & a; fours ^= a;
        RIPPLE(b, 3u);
    }
    sum[0] = ones; sum[1] = twos; sum[2] = fours;
    return weights;
}
#undef NEXT
#undef NEXT_GAP
#undef START_GAPS
#undef MOST_GAP
#undef ADD_LIST
