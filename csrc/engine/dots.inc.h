/* Ones of masked words, counted; included by kernels.inc.h. */

#if defined(__AVX2__)
#define DOT_WORDS 4
enum { MOST_BYTES = 31 }; /* a byte that counts up to 8 ones a round holds as many rounds */

/* Rounds of 4 words: ones are counted by nibble, from a table of 16, and added up as bytes. */
INLINE void dots_of(const uint64_t *x, size_t pitch, size_t step, int places, const uint64_t *w,
                    size_t rows, size_t length, uint64_t *sums) {
    __m256i total[4], bytes[4];
    const __m256i zero = _mm256_setzero_si256(), low = _mm256_set1_epi8(15);
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                           2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    for (int j = 0; j < places; j++) total[j] = bytes[j] = zero;
    int rounds = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < length; k += 4, w += 8) {
            const __m256i negative = _mm256_loadu_si256((const __m256i *)(const void *)w);
            const __m256i kept = _mm256_loadu_si256((const __m256i *)(const void *)(w + 4));
            for (int j = 0; j < places; j++) {
                const uint64_t *p = x + (size_t)j * step + r * pitch + k;
                __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
                v = _mm256_xor_si256(negative, _mm256_and_si256(v, kept));
                const __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
                const __m256i some = _mm256_shuffle_epi8(table, _mm256_and_si256(v, low));
                bytes[j] = _mm256_add_epi8(bytes[j],
                                           _mm256_add_epi8(some, _mm256_shuffle_epi8(table, high)));
            }
            if (++rounds < MOST_BYTES) continue;
            for (int j = 0; j < places; j++) {
                total[j] = _mm256_add_epi64(total[j], _mm256_sad_epu8(bytes[j], zero));
                bytes[j] = zero;
            }
            rounds = 0;
        }
    for (int j = 0; j < places; j++) {
        uint64_t four[4];
        total[j] = _mm256_add_epi64(total[j], _mm256_sad_epu8(bytes[j], zero));
        memcpy(four, &total[j], sizeof four);
        sums[j] = four[0] + four[1] + four[2] + four[3];
    }
}
#else
#define DOT_WORDS 1

INLINE uint64_t ones(uint64_t v) {
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return v * 0x0101010101010101u >> 56;
}

INLINE void dots_of(const uint64_t *x, size_t pitch, size_t step, int places, const uint64_t *w,
                    size_t rows, size_t length, uint64_t *sums) {
    for (int j = 0; j < places; j++) sums[j] = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < length; k++, w += 2)
            for (int j = 0; j < places; j++)
                sums[j] += ones(w[0] ^ (x[(size_t)j * step + r * pitch + k] & w[1]));
}
#endif

static void dots(const uint64_t *x, size_t pitch, size_t step, size_t count, const uint64_t *w,
                 size_t rows, size_t length, uint64_t *sums) {
    size_t i = 0;
    for (; i + 4 <= count; i += 4) dots_of(x + i * step, pitch, step, 4, w, rows, length, sums + i);
    for (; i < count; i++) dots_of(x + i * step, pitch, step, 1, w, rows, length, sums + i);
}
