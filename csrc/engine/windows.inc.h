/* What kernels.inc.h has for the maximum over windows of sums, before a neuron. */

INLINE float window_of(const float *z, size_t pitch, size_t k, bool lowest) {
    float best = z[0];
    for (size_t y = 0; y < k; y++)
        for (size_t x = 0; x < k; x++) {
            const float v = z[y * pitch + x];
            if (lowest ? v < best : v > best) best = v;
        }
    return best;
}

static void windows(const float *z, const Synapse *y, bool lowest, float *out) {
    const size_t pitch = y->wo, k = y->pool;
    for (size_t row = 0; row < y->high; row++, out += y->wide) {
        const float *from = z + row * k * pitch;
        if (k == 2 && !lowest)
            for (size_t x = 0; x < y->wide; x++) out[x] = window_of(from + 2 * x, pitch, 2, false);
        else
            for (size_t x = 0; x < y->wide; x++) out[x] = window_of(from + k * x, pitch, k, lowest);
    }
}

/* x becomes the larger, or lower, of itself and of what lies `shift` bits above it. */
INLINE void larger_planes(V *x, uint32_t planes, int shift, V lowest) {
    V other[MAX_PLANES], least = SPLAT(~(uint64_t)0); /* whether other >= x */
    for (uint32_t j = 0; j < planes; j++) {
        other[j] = x[j] >> shift;
        least = majority(other[j], ~x[j], least);
    }
    least ^= lowest;
    for (uint32_t j = 0; j < planes; j++) x[j] = choose(least, other[j], x[j]);
}

/* Of a word with rows of `pitch` bits the even columns of the even rows, next to each other. */
INLINE uint64_t quarter(uint64_t v, uint32_t pitch, uint64_t mask) {
#if defined(__BMI2__)
    (void)pitch;
    return _pext_u64(v, mask);
#else
    const uint32_t wide = pitch / 2;
    uint64_t out = 0;
    v = even_bits(v & mask);
    for (uint32_t from = 0, to = 0; from < 32; from += pitch, to += wide)
        out |= (v >> from & (((uint64_t)1 << wide) - 1)) << to;
    return out;
#endif
}

static void pool_planes(const uint64_t *counters, size_t plane, uint32_t planes, size_t steps,
                        size_t words, uint32_t pitch, bool lowest, uint64_t *out, size_t out_plane,
                        size_t out_step) {
    uint64_t mask = 0;
    for (uint32_t i = 0; i < 64; i += 2)
        if (i / pitch % 2 == 0) mask |= (uint64_t)1 << i;
    for (uint32_t j = 0; j < planes; j++)
        memset(out + j * out_plane, 0, steps * out_step * sizeof *out);
    const V side = SPLAT(lowest ? ~(uint64_t)0 : 0);
    for (size_t at = 0; at < steps * words; at += WORDS) {
        V x[MAX_PLANES];
        for (uint32_t j = 0; j < planes; j++) x[j] = load(counters + j * plane + at);
        larger_planes(x, planes, 1, side);
        larger_planes(x, planes, (int)pitch, side);
        for (uint32_t j = 0; j < planes; j++) {
            uint64_t some[WORDS];
            store(some, x[j]);
            for (size_t i = 0; i < WORDS && at + i < steps * words; i++) {
                const size_t step = (at + i) / words, word = (at + i) % words;
                out[j * out_plane + step * out_step + word / 4] |= quarter(some[i], pitch, mask)
                                                                   << word % 4 * 16;
            }
        }
    }
}
