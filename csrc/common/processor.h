/* What this processor can do. Kernels are compiled once for each level; which of them run is
 * decided here, when a library is used. */
#ifndef ST_PROCESSOR_H
#define ST_PROCESSOR_H

/* Generic is what every processor of the family has: SSE2 on x86-64, NEON on aarch64. */
enum { ST_GENERIC = 0, ST_AVX2 = 1, ST_AVX512 = 2 };

/* Bit mask of the levels that were compiled and that this processor runs: bit ST_GENERIC and so
 * on. AVX-512 is F, BW, DQ and VL. */
unsigned processor_levels(void);

/* Whether it counts the bits of 64-bit words in vectors, too. */
int processor_counts_bits(void);

#endif
