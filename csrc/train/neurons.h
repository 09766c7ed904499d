/* Batch normalisation + LIF + 2x2 max pooling in one pass, forward and backward, for the CPU.
 *
 * Called by neurons/native.py through ctypes, which has the same structures. All functions take
 * data that is row-major [time][row][channel] (channels last), as float or as bfloat16, and return
 * 0, or 1 without memory. Results do not depend on the number of threads.
 */
#ifndef ST_NEURONS_H
#define ST_NEURONS_H

#include "processor.h"

#include <stdint.h>

/* Of [T][B*H*W][C]. pool: 2x2 windows of rows give their largest spike. repeat: there is one step
 * of input, which all T steps read. */
typedef struct {
    int64_t T, B, H, W, C;
    int32_t pool, repeat;
} Shape;

/* charge: 0: decay*v + z   1: v - (v - v_rest)/tau + z   2: v + (z - (v - v_rest))/tau
 * surrogate: 0 sigmoid, 1 atan, 2 triangle */
typedef struct {
    float decay, tau, v_threshold, v_reset, v_rest, alpha;
    int32_t charge, soft_reset, detach_reset, surrogate;
} Lif;

/* The functions for one type of the data. */
#define NEURON_KERNELS(REAL, TYPE)                                                                 \
    /* Mean and biased variance of each channel over `rows` rows. */                               \
    int (*stats_##TYPE)(const REAL *y, int64_t rows, int64_t C, float *mean, float *var,           \
                        int threads);                                                              \
    /* Spikes of the neurons that get a*y + b. */                                                  \
    int (*forward_##TYPE)(const REAL *y, const float *a, const float *b, REAL *out,                \
                          const Shape *d, const Lif *p, int threads);                              \
    /* From g, the gradient of the spikes: gz, that of a*y + b, and per channel the sums of gz and \
     * of gz*(y - mean)*rstd. */                                                                   \
    int (*backward_##TYPE)(const REAL *y, const float *a, const float *b, const float *mean,       \
                           const float *rstd, const REAL *g, REAL *gz, double *sums,               \
                           const Shape *d, const Lif *p, int threads);                             \
    /* gz becomes a*gz + q*y + r. */                                                               \
    int (*finish_##TYPE)(const REAL *y, REAL *gz, const float *a, const float *q, const float *r,  \
                         int64_t rows, int64_t C, int threads);

typedef struct {
    NEURON_KERNELS(float, f32)
    NEURON_KERNELS(uint16_t, bf16)
} NeuronKernels;

extern const NeuronKernels st_neurons_generic;
#if defined(ST_HAVE_AVX2)
extern const NeuronKernels st_neurons_avx2;
#endif
#if defined(ST_HAVE_AVX512)
extern const NeuronKernels st_neurons_avx512;
#endif

#if defined(__GNUC__)
#define ST_API __attribute__((visibility("default")))
#else
#define ST_API
#endif

/* Bit mask of the levels this processor runs, as of processor_levels. */
ST_API unsigned st_levels(void);

/* The kernels of a level, or NULL where this processor or this build lacks it. */
ST_API const NeuronKernels *st_neurons(int level);

/* Whether they use more than one thread. */
ST_API int st_parallel(void);

#endif
