/* The first layer, on pixels. Its weights: for each output channel the distances between the
 * indices (c * kernel rows + ky) * kernel columns + kx of its weights, the first from -1, plus 128
 * where a weight is -1; byte 0 stands for 127 indices without a weight, byte 128 ends the list. */
static const struct {
    spike_map out;
    uint16_t kernel_rows, kernel, stride, pad;
    uint16_t rows, width; /* of the neurons, before the pooling of spikes */
    uint8_t pool, memory;
} first = FIRST_LAYER;

typedef struct {
    const uint8_t *next;
    uint32_t index, channel, ky, kx;
    int minus;
} tap;

static int next_tap(tap *t)
{
    uint32_t byte;
    while ((byte = *t->next++) == 0u) t->index += 127u;
    if (byte == 128u) return 0;
    t->index += byte & 127u;
    t->minus = byte > 128u;
    t->kx = t->index % first.kernel;
    t->ky = t->index / first.kernel % first.kernel_rows;
    t->channel = t->index / first.kernel / first.kernel_rows;
    return 1;
}

static const uint8_t *skip_taps(const uint8_t *weights)
{
    while (*weights++ != 128u) {}
    return weights;
}

static const pixel *pixels_at(const pixel *image, uint32_t frame, uint32_t channel, uint32_t y)
{
    return image + ((frame * CHANNELS + channel) * HEIGHT + y) * WIDTH;
}

#if FIRST_FLOAT
static float value_of(uint32_t channel, pixel p)
{
#if FLOAT_PIXELS
    (void)channel;
    return p;
#else
    return first_values[channel * 256u + p];
#endif
}

/* The synapses' sum at one position in one frame, rounded to float32 after every operation. */
static float first_sum(const uint8_t *weights, const pixel *image, uint32_t o, uint32_t frame,
                       uint32_t row, uint32_t column)
{
    volatile float z = 0.0f; /* never fused into multiply-adds */
    tap t = {weights, ALL, 0, 0, 0, 0};
    while (next_tap(&t)) {
        const uint32_t y = row * first.stride + t.ky - first.pad;
        const uint32_t x = column * first.stride + t.kx - first.pad;
        if (y < HEIGHT && x < WIDTH) {
            const float value = value_of(t.channel, pixels_at(image, frame, t.channel, y)[x]);
            z = t.minus ? z - value : z + value;
        }
    }
    z = FIRST_ALPHA * z;
#if FIRST_BIAS
    z = z + first_bias[o];
#endif
    (void)o;
    return z;
}

/* The neuron's input at one position in one frame. */
static float first_input(const uint8_t *weights, const pixel *image, uint32_t o, uint32_t frame,
                         uint32_t row, uint32_t column)
{
#if FIRST_POOL_SUMS
    volatile float z = first_sum(weights, image, o, frame, 2u * row, 2u * column);
    for (uint32_t i = 1; i < 4u; i++) {
        const float other =
            first_sum(weights, image, o, frame, 2u * row + i / 2u, 2u * column + i % 2u);
        if (other > z) z = other;
    }
#else
    volatile float z = first_sum(weights, image, o, frame, row, column);
#endif
#if FIRST_SCALE
    z = first_scale[o] * z;
    z = z + first_shift[o];
#endif
    return z;
}

/* Its spikes there, bit t that of step t. */
static uint32_t first_exact(const uint8_t *weights, const pixel *image, uint32_t o, uint32_t row,
                            uint32_t column)
{
    uint32_t spikes = 0;
    float v = 0.0f, z = 0.0f;
    for (uint32_t t = 0; t < first.out.steps; t++) {
        volatile float u;
        if (t < FRAMES) z = first_input(weights, image, o, t, row, column);
        u = first.memory ? v * 0.5f + z : z;
        if (u >= FIRST_THRESHOLD) spikes |= ONE << t;
        v = u >= FIRST_THRESHOLD ? 0.0f : u;
    }
    return spikes;
}
#endif

#if !FLOAT_PIXELS
static int32_t sums[FRAMES][FIRST_COLUMNS];

/* First column whose input through a kernel column lies at or behind `from`. */
static uint32_t column_from(uint32_t from, uint32_t kx)
{
    const uint32_t shifted = from + first.pad;
    return shifted <= kx ? 0u : (shifted - kx + first.stride - 1u) / first.stride;
}

static void add_tap(const tap *t, const pixel *image, uint32_t row)
{
    const int32_t *table = first_table + 256u * t->channel;
    const uint32_t y = row * first.stride + t->ky - first.pad;
    const uint32_t begin = column_from(0, t->kx), most = column_from(WIDTH, t->kx);
    const uint32_t count = (most < FIRST_COLUMNS ? most : FIRST_COLUMNS) - begin;
    if (y >= HEIGHT || begin >= FIRST_COLUMNS || begin >= most) return;
    for (uint32_t frame = 0; frame < FRAMES; frame++) {
        const pixel *in = pixels_at(image, frame, t->channel, y);
        int32_t *sum = sums[frame] + begin;
        in += begin * first.stride + t->kx - first.pad;
        if (t->minus)
            for (uint32_t i = 0; i < count; i++, in += first.stride) sum[i] -= table[*in];
        else
            for (uint32_t i = 0; i < count; i++, in += first.stride) sum[i] += table[*in];
    }
}

static void sum_pixels(const uint8_t *weights, const pixel *image, uint32_t row)
{
    tap t = {weights, ALL, 0, 0, 0, 0};
    memset(sums, 0, sizeof sums);
    while (next_tap(&t)) add_tap(&t, image, row);
}

#if FIRST_POOL_SUMS
static int32_t upper[FRAMES][FIRST_COLUMNS / 2]; /* of the first row of windows, the larger sums */

static int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }

/* The largest sums of a row of 2x2 windows. */
static void sum_windows(const uint8_t *weights, const pixel *image, uint32_t row)
{
    for (uint32_t i = 0; i < 2u; i++) {
        sum_pixels(weights, image, 2u * row + i);
        for (uint32_t frame = 0; frame < FRAMES; frame++)
            for (uint32_t x = 0; x < first.width; x++) {
                const int32_t most = larger(sums[frame][2u * x], sums[frame][2u * x + 1u]);
                if (i)
                    sums[frame][x] = larger(most, upper[frame][x]);
                else
                    upper[frame][x] = most;
            }
    }
}
#endif

/* Spikes at one position; *near is set where whole numbers cannot tell. */
static uint32_t first_spikes(uint32_t o, uint32_t column, int *near)
{
    uint32_t spikes = 0, level = 0;
    int32_t u = 0;
    *near = 0;
    for (uint32_t t = 0; t < first.out.steps; t++) {
        const int32_t sum = sums[t < FRAMES ? t : FRAMES - 1u][column];
        const int32_t bound = first_thresholds[o * FIRST_LEVELS + level];
        u = first.memory ? (u - (u & 1)) / 2 : 0;
        u += first_turned[o] ? -sum : sum;
        if (first.memory) level++;
        if (u >= bound) {
#if FIRST_FLOAT
            if ((uint32_t)u - (uint32_t)bound < FIRST_BAND) *near = 1;
#endif
            spikes |= ONE << t;
            u = 0;
            level = 0;
        }
    }
    return spikes;
}
#endif

static uint32_t first_position(const uint8_t *weights, const pixel *image, uint32_t o, uint32_t row,
                               uint32_t column)
{
#if FLOAT_PIXELS
    return first_exact(weights, image, o, row, column);
#else
    int near;
    const uint32_t spikes = first_spikes(o, column, &near);
#if FIRST_FLOAT
    if (near) return first_exact(weights, image, o, row, column);
#endif
    (void)weights, (void)image, (void)row, (void)near;
    return spikes;
#endif
}

static void first_row(const uint8_t *weights, const pixel *image, uint32_t o, uint32_t row)
{
#if !FLOAT_PIXELS && FIRST_POOL_SUMS
    sum_windows(weights, image, row);
#elif !FLOAT_PIXELS
    sum_pixels(weights, image, row);
#endif
    memset(fired, 0, sizeof fired);
    for (uint32_t column = 0; column < first.width; column++) {
        const uint32_t spikes = first_position(weights, image, o, row, column);
        for (uint32_t step = 0; spikes && step < first.out.steps; step++)
            fired[step][column / 32u] |= (spikes >> step & 1u) << (column % 32u);
    }
}

static void run_first(const pixel *image)
{
    const uint8_t *weights = first_weights;
    /* The stride is in the sums already. */
    synapse shape;
    memset(&shape, 0, sizeof shape);
    shape.out = first.out;
    shape.stride = 1;
    shape.width = first.width;
    shape.pool = first.pool;
    clear_map(&first.out);
    for (uint32_t o = 0; o < first.out.channels; o++) {
        for (uint32_t row = 0; row < first.rows; row++) {
            first_row(weights, image, o, row);
            finish_row(&shape, 0, o, row, 0);
        }
        weights = skip_taps(weights);
    }
}
