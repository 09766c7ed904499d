/* What kernels.inc.h has on floats. No two operations may be joined, and none done in another
 * order, so that every level gives the same bits. */

/* A tile of `vectors` vectors, `apart` from each other, stays in registers while all taps are added
 * to it. */
INLINE void rows_tile(const float *x, const uint32_t *taps, const float *weights, size_t count,
                      float *out, int vectors, size_t apart) {
    F sum[8] = {{0}};
    for (size_t k = 0; k < count; k++) {
        const float *p = x + (taps[k] >> 1);
        const U sign = (U){0} | (taps[k] << 31);
        for (int j = 0; j < vectors; j++) {
            const F v = load_floats(p + (size_t)j * apart);
            if (weights) sum[j] += weights[k] * v;
            else sum[j] += (F)((U)v ^ sign);
        }
    }
    for (int j = 0; j < vectors; j++) store_floats(out + (size_t)j * apart, sum[j]);
}

/* What is left of less than two vectors overlaps what is done, or the other of the two. */
INLINE void rows(const float *x, const uint32_t *taps, const float *weights, size_t count,
                 float *out, size_t n) {
    size_t i = 0;
    for (; i + 8 * FLOATS <= n; i += 8 * FLOATS)
        rows_tile(x + i, taps, weights, count, out + i, 8, FLOATS);
    for (; i + 4 * FLOATS <= n; i += 4 * FLOATS)
        rows_tile(x + i, taps, weights, count, out + i, 4, FLOATS);
    for (; i + 2 * FLOATS <= n; i += 2 * FLOATS)
        rows_tile(x + i, taps, weights, count, out + i, 2, FLOATS);
    if (i + FLOATS < n) {
        rows_tile(x + i, taps, weights, count, out + i, 2, n - FLOATS - i);
    } else if (i < n && n >= FLOATS) {
        const size_t last = n - FLOATS;
        rows_tile(x + last, taps, weights, count, out + last, 1, 0);
    } else {
        for (; i < n; i++) {
            float sum = 0;
            for (size_t k = 0; k < count; k++) {
                const float v = x[(taps[k] >> 1) + i];
                sum += weights ? weights[k] * v : taps[k] & 1 ? -v : v;
            }
            out[i] = sum;
        }
    }
}

static void rows_ternary(const float *x, const uint32_t *taps, size_t count, float *out, size_t n) {
    rows(x, taps, NULL, count, out, n);
}

static void rows_float(const float *x, const uint32_t *taps, const float *weights, size_t count,
                       float *out, size_t n) {
    rows(x, taps, weights, count, out, n);
}

/* Unsigned, since lanes past the end add up whatever lies there. */
typedef uint16_t H __attribute__((vector_size(4 * FLOATS), may_alias));
typedef uint16_t Hu __attribute__((vector_size(4 * FLOATS), may_alias, aligned(2)));

INLINE void whole_tile(const uint16_t *x, const uint32_t *taps, size_t positive, size_t count,
                       float *out, int vectors) {
    enum { LANES = 2 * FLOATS };
    H sum[8] = {{0}};
    size_t k = 0;
    for (; k < positive; k++)
        for (int j = 0; j < vectors; j++)
            sum[j] += *(const Hu *)(const void *)(x + (taps[k] >> 1) + j * LANES);
    for (; k < count; k++)
        for (int j = 0; j < vectors; j++)
            sum[j] -= *(const Hu *)(const void *)(x + (taps[k] >> 1) + j * LANES);
    for (int j = 0; j < vectors; j++) {
        int16_t lanes[LANES];
        memcpy(lanes, &sum[j], sizeof lanes);
        for (int i = 0; i < LANES; i++) out[j * LANES + i] = lanes[i];
    }
}

static void rows_whole(const uint16_t *x, const uint32_t *taps, size_t positive, size_t count,
                       float *out, size_t n) {
    enum { LANES = 2 * FLOATS };
    for (size_t i = 0, done; i < n; i += done * LANES) {
        const size_t left = (n - i + LANES - 1) / LANES;
        done = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        switch (done) {
        case 8: whole_tile(x + i, taps, positive, count, out + i, 8); break;
        case 4: whole_tile(x + i, taps, positive, count, out + i, 4); break;
        case 2: whole_tile(x + i, taps, positive, count, out + i, 2); break;
        default: whole_tile(x + i, taps, positive, count, out + i, 1);
        }
    }
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
    const float shift = bias ? *bias : 0, scale = a ? *a : 0, offset = a ? *b : 0;
    for (size_t i = 0; i < n; i++) {
        float v = z[i];
        if (scaled) v = alpha * v;
        if (bias) v = v + shift;
        if (a) v = scale * v + offset;
        z[i] = v;
    }
}

static void unpack(const uint64_t *bits, float *out, size_t n) {
    U lane = {0};
    for (int i = 0; i < FLOATS; i++) lane[i] = 1u << i;
    const float one = 1;
    uint32_t one_bits;
    memcpy(&one_bits, &one, sizeof one);
    size_t i = 0;
    for (; i + FLOATS <= n; i += FLOATS) {
        const U v = ((U){0} | (uint32_t)(bits[i / 64] >> i % 64)) & lane;
        store_floats(out + i, (F)((U)(v != 0) & one_bits));
    }
    for (; i < n; i++) out[i] = (float)(bits[i / 64] >> i % 64 & 1);
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

/* Up to 64 membranes. */
INLINE void take_membranes(const float *from, size_t m, F *v) {
    float some[64] = {0};
    if (m < 64) {
        memcpy(some, from, m * sizeof *some);
        from = some;
    }
    for (int j = 0; j < VECTORS; j++) v[j] = load_floats(from + j * FLOATS);
}

INLINE void leave_membranes(float *to, size_t m, const F *v) {
    float some[64];
    for (int j = 0; j < VECTORS; j++) store_floats(some + j * FLOATS, v[j]);
    memcpy(to, some, m * sizeof *some);
}

INLINE void fire_as(const float *z, size_t stride, uint32_t steps, size_t n, const Neuron *p,
                    uint32_t kind, uint32_t how, bool soft, uint64_t *out, size_t words,
                    float *carried) {
    for (size_t at = 0; at < n; at += 64) {
        F v[VECTORS];
        float last[64] = {0};
        const size_t m = n - at < 64 ? n - at : 64;
        if (carried) take_membranes(carried + at, m, v);
        else
            for (int j = 0; j < VECTORS; j++) v[j] = (F){0} + p->v_rest;
        for (uint32_t t = 0; t < steps; t++) {
            const float *zt = z + t * stride + at;
            if (m < 64) {
                memcpy(last, zt, m * sizeof *last);
                zt = last;
            }
            out[t * words + at / 64] = advance(p, kind, how, soft, v, zt) & tail_mask(m);
        }
        if (carried) leave_membranes(carried + at, m, v);
    }
}

/* The neurons that the loops above have no copy for: every choice is made anew at every step. */
static void fire_any(const float *z, size_t stride, uint32_t steps, size_t n, const Neuron *p,
                     uint64_t *out, size_t words, Membranes carried) {
    const F none = {0}, threshold = none + p->v_threshold, reset = none + p->v_reset;
    for (size_t at = 0; at < n; at += FLOATS) {
        const size_t m = n - at < FLOATS ? n - at : FLOATS;
        F v = none + p->v_rest;
        I fired = {0};
        if (carried.v) memcpy(&v, carried.v + at, m * sizeof(float));
        if (carried.fired) memcpy(&fired, carried.fired + at, m * sizeof(float));
        for (uint32_t t = 0; t < steps; t++) {
            float some[FLOATS] = {0};
            memcpy(some, z + t * stride + at, m * sizeof *some);
            F u = load_floats(some);
            const F above = v - p->v_rest;
            switch (p->charge) {
            case 0: u = v * p->decay + u; break;
            case 1: u = (v - above / p->tau) + u; break;
            case 2: u = v + (u - above) / p->tau; break;
            case 3: u = v + (u - above) * p->decay; break;
            default: u = (v - above * p->decay) + u;
            }
            F after = reset;
            if (p->soft) after = u - threshold;
            if (p->late) u = select_floats(fired, after, u);
            if (p->strict) fired = u > threshold;
            else fired = u >= threshold;
            v = u;
            if (p->soft) after = u - threshold;
            if (!p->late && !p->keep) v = select_floats(fired, after, u);
            uint64_t *word = out + t * words + at / 64;
            if (at % 64 == 0) *word = 0;
            *word |= (lanes_of(fired) & tail_mask(m)) << at % 64;
        }
        if (carried.v) memcpy(carried.v + at, &v, m * sizeof(float));
        if (carried.fired) memcpy(carried.fired + at, &fired, m * sizeof(float));
    }
}

static void fire(const float *z, size_t stride, uint32_t steps, size_t n, const Neuron *p,
                 uint64_t *out, size_t words, Membranes carried) {
    float *v = carried.v;
    if (p->kind == NEURON_STEP)
        fire_as(z, stride, steps, n, p, NEURON_STEP, 0, false, out, words, NULL);
    else if (p->charge > 2 || p->strict || p->late || p->keep)
        fire_any(z, stride, steps, n, p, out, words, carried);
    else if (p->charge == 0 && !p->soft)
        fire_as(z, stride, steps, n, p, 0, 0, false, out, words, v);
    else if (p->charge == 0) fire_as(z, stride, steps, n, p, 0, 0, true, out, words, v);
    else if (p->charge == 1) fire_as(z, stride, steps, n, p, 0, 1, p->soft, out, words, v);
    else fire_as(z, stride, steps, n, p, 0, 2, p->soft, out, words, v);
}
