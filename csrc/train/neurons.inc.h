/* One source for every processor level, LEVEL its name; the compiler makes the vectors.
 *
 * neurons/lif.py is the definition; tests hold this file to it bit for bit. It is compiled with
 * -ffp-contract=off, so that no multiply-add is fused behind the definition's back, and no sum is
 * taken in another order: every level gives the same bits. A membrane is never stored: the backward
 * pass computes it again from y.
 */
#include "neurons.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#define THREAD() omp_get_thread_num()
#else
#define THREAD() 0
#endif

#define BLOCK 64
#define CHUNK 128
#define GROUP 4
#define GROUPS_A_CHUNK 64

static inline float load_bf16(uint16_t x) {
    uint32_t i = (uint32_t)x << 16;
    float f;
    memcpy(&f, &i, 4);
    return f;
}
static inline uint16_t store_bf16(float f) {
    uint32_t i;
    memcpy(&i, &f, 4);
    return (uint16_t)((i + 0x7fffu + ((i >> 16) & 1u)) >> 16);
}

/* exp(-|x|), relative error below 2e-7 down to exp(-87), and that below; never a NaN. */
static inline float exp_minus_abs(float a) {
    /* Non-negative floats are ordered as their bits: a clamp that the vectoriser takes. */
    uint32_t i;
    memcpy(&i, &a, 4);
    i &= 0x7fffffffu;
    i = i < 0x42ae0000u ? i : 0x42ae0000u; /* 87 */
    float x;
    memcpy(&x, &i, 4);
    x = -x;
    float n = (float)(int32_t)(x * 1.44269504088896341f - 0.5f);
    float r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float q = 1.9875691500e-4f;
    q = q * r + 1.3981999507e-3f;
    q = q * r + 8.3334519073e-3f;
    q = q * r + 4.1665795894e-2f;
    q = q * r + 1.6666665459e-1f;
    q = q * r + 5.0000001201e-1f;
    q = q * r * r + r + 1.f;
    int32_t e = ((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &e, 4);
    return q * scale;
}

static inline float surrogate_sigmoid(float alpha, float x) {
    float e = exp_minus_abs(alpha * x), s = 1.f / (1.f + e);
    return alpha * e * s * s;
}
static inline float surrogate_atan(float alpha, float x) {
    float q = 1.57079632679489662f * alpha * x;
    return alpha * 0.5f / (1.f + q * q);
}
static inline float surrogate_triangle(float alpha, float x) {
    float h = alpha - alpha * alpha * fabsf(x);
    return h > 0.f ? h : 0.f;
}

#define CAT2(a, b) a##b
#define CAT(a, b) CAT2(a, b)

/* Derivative of the spike with respect to the potential, for one block. */
static inline void surrogate(const Lif *p, const float *restrict u, float *restrict ds, int64_t n) {
    const float alpha = p->alpha, v_threshold = p->v_threshold;
    if (p->surrogate == 0)
        for (int64_t i = 0; i < n; i++) ds[i] = surrogate_sigmoid(alpha, u[i] - v_threshold);
    else if (p->surrogate == 1)
        for (int64_t i = 0; i < n; i++) ds[i] = surrogate_atan(alpha, u[i] - v_threshold);
    else
        for (int64_t i = 0; i < n; i++) ds[i] = surrogate_triangle(alpha, u[i] - v_threshold);
}

#define REAL float
#define LOAD(x) (x)
#define STORE(x) (x)
#define FN(name) CAT(name, _f32)
#include "typed.inc.h"
#undef REAL
#undef LOAD
#undef STORE
#undef FN

#define REAL uint16_t
#define LOAD(x) load_bf16(x)
#define STORE(x) store_bf16(x)
#define FN(name) CAT(name, _bf16)
#include "typed.inc.h"

const NeuronKernels CAT(st_neurons_, LEVEL) = {
    .stats_f32 = stats_f32,
    .stats_bf16 = stats_bf16,
    .forward_f32 = forward_f32,
    .forward_bf16 = forward_bf16,
    .backward_f32 = backward_f32,
    .backward_bf16 = backward_bf16,
    .finish_f32 = finish_f32,
    .finish_bf16 = finish_bf16,
};
