#include "neurons.h"

#include <stddef.h>

unsigned st_levels(void) { return processor_levels(); }

const NeuronKernels *st_neurons(int level) {
    static const NeuronKernels *const of_level[] = {
        [ST_GENERIC] = &st_neurons_generic,
#if defined(ST_HAVE_AVX2)
        [ST_AVX2] = &st_neurons_avx2,
#endif
#if defined(ST_HAVE_AVX512)
        [ST_AVX512] = &st_neurons_avx512,
#endif
    };
    return level >= 0 && level < 32 && st_levels() >> level & 1 ? of_level[level] : NULL;
}

int st_parallel(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}
