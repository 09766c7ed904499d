/* The kernels that are compiled once a processor level, from kernels.inc.h. */
#ifndef ST_KERNELS_H
#define ST_KERNELS_H

#include "internal.h"

#define MAX_PLANES 14    /* of a counter in the bit-sliced kernel */
#define EVENT_OUTPUTS 64 /* that the event-driven kernel sums at once */
#define TILE_PLACES 4    /* at which a tile sums them, zeros included */
#define PLANE_STEPS 8    /* most steps of the neuron on bit planes */

/* One output channel of the bit-sliced kernel. Its list of inputs has `negative`, then
 * `positive` groups of four, each by the word of the slab where its vector begins. The counter
 * starts at `start`, is complemented after the negative ones, and ends as (number of negative
 * weights) + (positive spikes) - (negative spikes). */
typedef struct {
    uint32_t start;
    uint16_t negative, positive;
} TreeRow;

typedef struct {
    uint32_t k, stride, pad, h, w, ho, wo;
} Pool;

/* Of neurons, from one run to the next: voltages, and, of a late reset, all bits of a float set
 * where the neuron fired in the step before. NULL: at rest before, not needed after. */
typedef struct {
    float *v, *fired;
} Membranes;

/* How the planes of the bit-sliced kernel lie and how a tap reads them: word w of step t of
 * channel c, through tap k, is at c*channel + phase[k] + t*step + w, moved down by shift[k] bits.
 * `phase` counts the room before a plane in. */
typedef struct {
    size_t channels, taps, steps;
    size_t channel, step, tile, mask_words;
    bool single; /* one word a step, steps next to each other, no room between them */
    const size_t *phase;
    const int64_t *shift;
    const uint64_t *mask; /* [tap][mask_words]: the positions at which the tap is inside */
} Taps;

struct Kernels {
    const char *name;
    int words;     /* 64-bit words of a vector */
    int dot_words; /* `dots` takes its words in groups of so many */

    /* out[i] = sum over the taps, in order, of +-x[offset + i] (tap = 2*offset + negative). */
    void (*rows_ternary)(const float *x, const uint32_t *taps, size_t count, float *out, size_t n);
    /* The same of fl(weight * x). */
    void (*rows_float)(const float *x, const uint32_t *taps, const float *weights, size_t count,
                       float *out, size_t n);
    /* Of whole numbers whose sums fit 16 bits: `positive` taps first, in any order. Up to 4*words
     * values past the end are read, and as many floats written. */
    void (*rows_whole)(const uint16_t *x, const uint32_t *taps, size_t positive, size_t count,
                       float *out, size_t n);
    /* sum[j] = sum over the inputs, in order, of weights[id][j], times its value where there are
     * values; EVENT_OUTPUTS sums. */
    void (*events)(const uint16_t *ids, const float *values, size_t count, const float *weights,
                   float *sum);
    /* The same of every input, zeros too: x[i] holds TILE_PLACES values for each, out[i] gets
     * `outputs` of EVENT_OUTPUTS sums, or some more, for each place. */
    void (*tiles)(const float *const *x, size_t count, size_t inputs, const float *weights,
                  size_t outputs, float *const *out);
    /* out[e] = popcount(a[e*pitch ..] & b). */
    void (*overlaps)(const uint64_t *a, size_t pitch, size_t count, const uint64_t *b, size_t words,
                     float *out);
    /* out[i] += sum over e, in order, of weights[e] * x[e*pitch + i]. */
    void (*mix)(const float *weights, size_t count, const float *x, size_t pitch, float *out,
                size_t n);
    /* The largest, or lowest, of every window of sums [ho][wo]; [high][wide] of them. */
    void (*windows)(const float *z, const Synapse *y, bool lowest, float *out);
    void (*affine)(float *z, size_t n, float alpha, bool scaled, const float *bias, const float *a,
                   const float *b);
    /* Bits as 0 and 1. */
    void (*unpack)(const uint64_t *bits, float *out, size_t n);
    /* Spikes [steps][words] of currents: step t reads z + t*stride; writes whole words. Starts from
     * the membranes given, n of each, and leaves what they become; from rest where there are none.
     */
    void (*fire)(const float *z, size_t stride, uint32_t steps, size_t n, const Neuron *p,
                 uint64_t *out, size_t words, Membranes carried);
    /* sums[i] = popcount(negative ^ (x & kept)) over `rows` rows (pitch apart) of `length` words,
     * for `count` places `step` words apart; length is a multiple of dot_words, and w is
     * [rows][length/dot_words][negative, kept][dot_words]. What lies behind a row of x is read, and
     * must not be kept. */
    void (*dots)(const uint64_t *x, size_t pitch, size_t step, size_t count, const uint64_t *w,
                 size_t rows, size_t length, uint64_t *sums);
    /* Counters of every channel for one vector of positions: plane j of channel o goes to
     * out + o*channel + j*plane (in words). */
    void (*tree)(const uint64_t *slab, const uint16_t *list, const TreeRow *rows, size_t channels,
                 uint32_t planes, uint64_t *out, size_t channel, size_t plane);
    /* The shifted planes of every channel and tap, for the vector of positions that begins at
     * word `flat` of a tile [step][tile words] which begins at word `first` of a step. */
    void (*slab)(const Taps *p, const uint64_t *planes, size_t first, size_t flat, uint64_t *out);
    /* Counters [channel][plane][step] of `words` channels and steps, one word each, turned into
     * [step][plane][channel]. */
    void (*turn)(const uint64_t *counters, size_t channel, size_t plane, uint32_t planes,
                 uint64_t *out);
    /* One vector of neurons on bit planes; thresholds as plan_thresholds of bitsliced_plan.c lays
     * them, one word each (broadcast) or one vector each. out word of step t: out + t*out_step. */
    void (*fire_planes)(const uint64_t *counters, size_t plane, size_t step, uint32_t planes,
                        uint32_t steps, bool memory, const uint64_t *thresholds, bool broadcast,
                        uint64_t *out, size_t out_step);
    /* Counters of one channel, of `words` words a step of a map of `pitch` columns (2 to 32, a
     * power of two): of every 2x2 window the largest, or lowest, at half the pitch. */
    void (*pool_planes)(const uint64_t *counters, size_t plane, uint32_t planes, size_t steps,
                        size_t words, uint32_t pitch, bool lowest, uint64_t *out, size_t out_plane,
                        size_t out_step);
    /* z[64*w + i] = counter - offset, for `words` words of counters. */
    void (*expand)(const uint64_t *counters, size_t plane, uint32_t planes, size_t words,
                   float offset, float *z);
    void (*pool)(const uint64_t *in, const Pool *p, uint64_t *out);
};

extern const Kernels st_kernels_generic;
#if defined(ST_HAVE_AVX2)
extern const Kernels st_kernels_avx2;
#endif
#if defined(ST_HAVE_AVX512)
extern const Kernels st_kernels_avx512;
#endif

#endif
