#include "processor.h"

unsigned processor_levels(void) {
    unsigned mask = 1u << ST_GENERIC;
#if defined(ST_HAVE_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
        __builtin_cpu_supports("popcnt"))
        mask |= 1u << ST_AVX2;
#endif
#if defined(ST_HAVE_AVX512)
#if defined(ST_AVX512_AS_AVX2)
    /* a test build: the same source, its vectors split in two */
    mask |= mask << 1 & 1u << ST_AVX512;
#else
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        mask |= mask << 1 & 1u << ST_AVX512;
#endif
#endif
    return mask;
}

int processor_counts_bits(void) {
#if defined(ST_HAVE_AVX512) && !defined(ST_AVX512_AS_AVX2)
    return __builtin_cpu_supports("avx512vpopcntdq") != 0;
#else
    return 1;
#endif
}
