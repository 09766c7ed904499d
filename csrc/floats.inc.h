/* What kernels.inc.h has on floats. No two operations may be joined, and none done in another
 * order, so that every level gives the same bits. */

/* A tile of 8 vectors stays in registers while all taps are added to it. */
INLINE void rows(const float *x, const uint32_t *taps, const float *weights, size_t count,
                 float *out, size_t n) {
    size_t i = 0;
    for (; i + 8 * FLOATS <= n; i += 8 * FLOATS) {
        F sum[8] = {0};
        for (size_t k = 0; k < count; k++) {
            const float *p = x + (taps[k] >> 1) + i;
            U sign = (U){0} | (taps[k] << 31);
            for (int j = 0; j < 8; j++) {
                F v = load_floats(p + j * FLOATS);
                if (weights) sum[j] += weights[k] * v;
                else sum[j] += (F)((U)v ^ sign);
            }
        }
        for (int j = 0; j < 8; j++) store_floats(out + i + (size_t)j * FLOATS, sum[j]);
    }
    for (; i + FLOATS <= n; i += FLOATS) {
        F sum = {0};
        for (size_t k = 0; k < count; k++) {
            F v = load_floats(x + (taps[k] >> 1) + i);
            if (weights) sum += weights[k] * v;
            else sum += (F)((U)v ^ ((U){0} | (taps[k] << 31)));
        }
        store_floats(out + i, sum);
    }
    for (; i < n; i++) {
        float sum = 0;
        for (size_t k = 0; k < count; k++) {
            float v = x[(taps[k] >> 1) + i];
            sum += weights ? weights[k] * v : taps[k] & 1 ? -v : v;
        }
        out[i] = sum;
    }
}

static void rows_ternary(const float *x, const uint32_t *taps, size_t count, float *out, size_t n) {
    rows(x, taps, NULL, count, out, n);
}

static void rows_float(const float *x, const uint32_t *taps, const float *weights, size_t count,
                       float *out, size_t n) {
    rows(x, taps, weights, count, out, n);
}

/* Up to eight vectors of outputs stay in registers while all inputs are added to them. */
static void events(const uint16_t *ids, const float *values, size_t count, const float *weights,
                   float *out) {
    enum { MOST = EVENT_OUTPUTS / FLOATS, VECTORS = MOST < 8 ? MOST : 8 };
    for (size_t first = 0; first < EVENT_OUTPUTS; first += VECTORS * FLOATS) {
        F sum[VECTORS] = {0};
        for (size_t k = 0; k < count; k++) {
            const float *w = weights + (size_t)ids[k] * EVENT_OUTPUTS + first;
            for (int j = 0; j < VECTORS; j++) {
                F v = load_floats(w + j * FLOATS);
                if (values) sum[j] += v * values[k];
                else sum[j] += v;
            }
        }
        for (int j = 0; j < VECTORS; j++) store_floats(out + first + (size_t)j * FLOATS, sum[j]);
    }
}

/* Two vectors of outputs at TILE_PLACES places: eight sums stay in registers. */
INLINE void tile(const float *x, size_t inputs, const float *w, float *out) {
    F sum[TILE_PLACES][2] = {{{0}}};
    for (size_t k = 0; k < inputs; k++, x += TILE_PLACES, w += EVENT_OUTPUTS) {
        __builtin_prefetch(w + 16 * EVENT_OUTPUTS);
        const F a = load_floats(w), b = load_floats(w + FLOATS);
        for (int j = 0; j < TILE_PLACES; j++) {
            sum[j][0] += a * x[j];
            sum[j][1] += b * x[j];
        }
    }
    for (int j = 0; j < TILE_PLACES; j++) {
        store_floats(out + j * EVENT_OUTPUTS, sum[j][0]);
        store_floats(out + j * EVENT_OUTPUTS + FLOATS, sum[j][1]);
    }
}

static void tiles(const float *const *x, size_t count, size_t inputs, const float *weights,
                  size_t outputs, float *const *out) {
    for (size_t first = 0; first < outputs; first += 2 * FLOATS)
        for (size_t i = 0; i < count; i++) tile(x[i], inputs, weights + first, out[i] + first);
}

static void overlaps(const uint64_t *a, size_t pitch, size_t count, const uint64_t *b, size_t words,
                     float *out) {
    for (size_t e = 0; e < count; e++, a += pitch) {
        uint64_t sum = 0;
        for (size_t w = 0; w < words; w++) sum += (uint64_t)__builtin_popcountll(a[w] & b[w]);
        out[e] = (float)sum;
    }
}

INLINE void mix_vectors(const float *weights, size_t count, const float *x, size_t pitch, F *sum,
                        int vectors) {
    for (size_t e = 0; e < count; e++)
        for (int j = 0; j < vectors; j++)
            sum[j] += weights[e] * load_floats(x + e * pitch + j * FLOATS);
}

/* The last vector overlaps the one before it; of it only what is new is kept. */
static void mix(const float *weights, size_t count, const float *x, size_t pitch, float *out,
                size_t n) {
    size_t i = 0;
    for (; i + 4 * FLOATS <= n; i += 4 * FLOATS) {
        F sum[4];
        for (int j = 0; j < 4; j++) sum[j] = load_floats(out + i + j * FLOATS);
        mix_vectors(weights, count, x + i, pitch, sum, 4);
        for (int j = 0; j < 4; j++) store_floats(out + i + j * FLOATS, sum[j]);
    }
    while (i < n && n >= FLOATS) {
        const size_t from = i + FLOATS <= n ? i : n - FLOATS;
        F sum = load_floats(out + from);
        mix_vectors(weights, count, x + from, pitch, &sum, 1);
        memcpy(out + i, (const float *)(const void *)&sum + (i - from), (FLOATS - (i - from)) * 4);
        i = from + FLOATS;
    }
    for (size_t e = 0; i < n && e < count; e++)
        for (size_t j = i; j < n; j++) out[j] += weights[e] * x[e * pitch + j];
}

static void affine(float *z, size_t n, float alpha, bool scaled, const float *bias, const float *a,
                   const float *b) {
    if (scaled)
        for (size_t i = 0; i < n; i++) z[i] = alpha * z[i];
    if (bias)
        for (size_t i = 0; i < n; i++) z[i] = z[i] + *bias;
    if (a) {
        const float scale = *a, offset = *b;
        for (size_t i = 0; i < n; i++) z[i] = scale * z[i] + offset;
    }
}

/* Bit i of the result: lane i of a comparison. */
INLINE uint64_t lanes_of(I m) {
#if FLOATS == 16 && defined(__AVX512DQ__)
    return (uint64_t)_mm512_movepi32_mask((__m512i)m);
#elif FLOATS == 16
    __m256 half[2];
    memcpy(half, &m, sizeof half);
    return (uint64_t)(unsigned)_mm256_movemask_ps(half[0]) |
           (uint64_t)(unsigned)_mm256_movemask_ps(half[1]) << 8;
#elif FLOATS == 8
    return (uint64_t)(unsigned)_mm256_movemask_ps((__m256)m);
#elif defined(__SSE2__)
    return (uint64_t)(unsigned)_mm_movemask_ps((__m128)m);
#else
    uint64_t bits = 0;
    for (int i = 0; i < FLOATS; i++) bits |= (uint64_t)(m[i] & 1) << i;
    return bits;
#endif
}

INLINE F select_floats(I m, F a, F b) { return (F)(((I)a & m) | ((I)b & ~m)); }

enum { VECTORS = 64 / FLOATS };

/* One step of 64 neurons. The order of operations is that of the definition, neurons/lif.py: no two
 * may be joined, and none replaced by a cheaper one. */
INLINE uint64_t advance(const Neuron *p, uint32_t kind, uint32_t how, bool soft, F *v,
                        const float *z) {
    const F none = {0}, threshold = none + p->v_threshold, reset = none + p->v_reset;
    uint64_t bits = 0;
    for (int j = 0; j < VECTORS; j++) {
        F u = load_floats(z + j * FLOATS);
        if (kind == NEURON_LIF) {
            if (how == 0) u = v[j] * p->decay + u;
            else if (how == 1) u = (v[j] - (v[j] - p->v_rest) / p->tau) + u;
            else u = v[j] + (u - (v[j] - p->v_rest)) / p->tau;
        }
        I m = u >= threshold;
        bits |= lanes_of(m) << j * FLOATS;
        F after = reset;
        if (soft) after = u - threshold;
        if (kind == NEURON_LIF) v[j] = select_floats(m, after, u);
    }
    return bits;
}

INLINE void fire_as(const float *z, size_t stride, uint32_t steps, size_t n, const Neuron *p,
                    uint32_t kind, uint32_t how, bool soft, uint64_t *out, size_t words) {
    for (size_t at = 0; at < n; at += 64) {
        F v[VECTORS];
        float last[64] = {0};
        const size_t m = n - at < 64 ? n - at : 64;
        for (int j = 0; j < VECTORS; j++) v[j] = (F){0} + p->v_rest;
        for (uint32_t t = 0; t < steps; t++) {
            const float *zt = z + t * stride + at;
            if (m < 64) {
                memcpy(last, zt, m * sizeof *last);
                zt = last;
            }
            out[t * words + at / 64] = advance(p, kind, how, soft, v, zt) & tail_mask(m);
        }
    }
}

static void fire(const float *z, size_t stride, uint32_t steps, size_t n, const Neuron *p,
                 uint64_t *out, size_t words) {
    if (p->kind == NEURON_STEP) fire_as(z, stride, steps, n, p, NEURON_STEP, 0, false, out, words);
    else if (p->charge == 0 && !p->soft) fire_as(z, stride, steps, n, p, 0, 0, false, out, words);
    else if (p->charge == 0) fire_as(z, stride, steps, n, p, 0, 0, true, out, words);
    else if (p->charge == 1) fire_as(z, stride, steps, n, p, 0, 1, p->soft, out, words);
    else fire_as(z, stride, steps, n, p, 0, 2, p->soft, out, words);
}
