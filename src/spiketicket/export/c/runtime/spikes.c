#define ONE ((uint32_t)1)
#define ALL ((uint32_t)0xffffffff)

/* Spikes are bits. A map of spikes lies in 32-bit words, word
 * [slab][column block][row][channel]: where a row has at most 16 columns, the rows of several time
 * steps lie side by side in one word, and a slab is that many steps; a wider row takes as many
 * column blocks of 32 as it needs. A bit of a word is called a lane. There are `pad` rows of zeros
 * above and below. */
typedef struct {
    uint32_t at; /* in ram */
    uint16_t channels, rows, width, pad; /* rows without those of zeros */
    uint8_t steps;
} spike_map;

/* Weights: for each output channel and kernel column two lists, those of -1 and those of +1. A
 * list is a count (one byte; 255: two more bytes follow, the count, low byte first) and the
 * distances between the indices ky * channels + c, the first from -1; 0 stands for 255 indices
 * without a weight. `narrow` distances are half bytes, the low half first, and 0 stands for 15. The kernel column that needs no shift comes first. */
typedef struct {
    const uint8_t *weights;
    const threshold *thresholds; /* [channels][levels]: level n - 1 is n steps after a spike */
    const band *bands;           /* below a threshold, that float32 decides, or NULL */
    const int32_t *offsets;      /* [channels]: 2 * weights of -1, + 1 where signs are turned */
    const float *bias, *scale, *shift; /* [channels] or NULL */
    float alpha, v_threshold;
    spike_map in, out;
    uint16_t kernel, stride; /* kernel columns */
    uint16_t rows, width;    /* of the neurons, before the pooling of spikes */
    uint8_t planes, fraction, pool, memory, narrow;
    uint8_t pool_sums; /* the neurons are given the largest sum of every 2x2 window */
} synapse;

static uint32_t ram[RAM_WORDS];
static uint32_t fired[STEPS][WORDS];        /* one or more rows of one channel after the neuron */
static uint32_t line[STEPS][WORDS];         /* one of them */
static uint32_t held[STEPS][WORDS];         /* the row above it, for pooling */
#if SYNAPSES
static uint32_t counts[GROUP][SLOTS][PLANES]; /* sums of some rows, in bit planes */
static uint32_t column_counts[WORDS][PLANES];
#if POOL_SUMS
static uint32_t counts_below[WORDS][PLANES]; /* sums of the second row of windows */
#endif
static uint32_t inside[KERNEL][WORDS];      /* lanes whose input is in the row */
#endif

static uint32_t blocks_of(const spike_map *m) { return (m->width + 31u) / 32u; }
static uint32_t pack_of(const spike_map *m) { return m->width > 16u ? 1u : 32u / m->width; }
static uint32_t slabs_of(const spike_map *m) { return (m->steps + pack_of(m) - 1u) / pack_of(m); }

static uint32_t word_at(const spike_map *m, uint32_t slab, uint32_t block, uint32_t row)
{
    return m->at + ((slab * blocks_of(m) + block) * (m->rows + 2u * m->pad) + row) * m->channels;
}

static uint32_t lanes(uint32_t width, uint32_t block)
{
    return width >= 32u * (block + 1u) ? ALL : (ONE << (width - 32u * block)) - 1u;
}

#if SYNAPSES
/* Adds a lane of 2^plane to bit planes. */
#define RIPPLE(carry, plane) \
    do { \
        for (uint32_t k_ = (plane); (carry) && k_ < planes; k_++) { \
            const uint32_t next_ = sum[k_] & (carry); \
            sum[k_] ^= (carry); \
            (carry) = next_; \
        } \
    } while (0)
/* A full adder on every lane: total + a + b = total + 2 * carry. */
#define ADD2(total, a, b, carry) \
    do { \
        const uint32_t half_ = (a) ^ (b); \
        (carry) = ((a) & (b)) | (half_ & (total)); \
        (total) ^= half_; \
    } while (0)

static const uint8_t *read_count(const uint8_t *weights, uint32_t *count)
{
    *count = *weights++;
    if (*count < 255u) return weights;
    *count = weights[0] | (uint32_t)weights[1] << 8;
    return weights + 2;
}
#endif
