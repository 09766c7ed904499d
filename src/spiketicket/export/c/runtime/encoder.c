/* The fixed input encoder: 2x2 filters on every patch, zeros below and to the right of the image.
 * The negatives of the filters need no sums of their own. Only the rows that the first layer is at
 * are kept, row y at place y % ENCODED_ROWS. */
static float encoded[FRAMES * CHANNELS * ENCODED_ROWS * WIDTH];

static float raw_value(uint32_t channel, raw p)
{
#if RAW_FLOAT
    (void)channel;
    return p;
#else
    return raw_values[channel * 256u + p];
#endif
}

/* One filter at one position, rounded to float32 after every operation. */
static float filtered(const raw *frame, uint32_t filter, uint32_t row, uint32_t column)
{
    const float *weight = encoder_filters + filter * RAW_CHANNELS * 4u;
    volatile float sum = 0.0f, product; /* never fused into multiply-adds */
    for (uint32_t channel = 0; channel < RAW_CHANNELS; channel++) {
        for (uint32_t i = 0; i < 4u; i++, weight++) {
            const uint32_t y = row + i / 2u, x = column + i % 2u;
            if (y < HEIGHT && x < WIDTH) {
                product = *weight * raw_value(channel, frame[(channel * HEIGHT + y) * WIDTH + x]);
                sum = sum + product;
            }
        }
    }
    return sum;
}

static void encode(const raw *frame, float *out, uint32_t filter, uint32_t row, uint32_t column)
{
    const uint32_t at = (filter * ENCODED_ROWS + row % ENCODED_ROWS) * WIDTH + column;
    const float value = filtered(frame, filter, row, column);
#if RECTIFIED
    out[at] = value > 0.0f ? value : 0.0f;
    out[at + FILTERS * ENCODED_ROWS * WIDTH] = value < 0.0f ? -value : 0.0f;
#else
    out[at] = value;
#endif
}

static void encode_row(const raw *image, uint32_t row)
{
    for (uint32_t frame = 0; frame < FRAMES; frame++) {
        const raw *in = image + frame * RAW_CHANNELS * HEIGHT * WIDTH;
        float *out = encoded + frame * CHANNELS * ENCODED_ROWS * WIDTH;
        for (uint32_t filter = 0; filter < FILTERS; filter++)
            for (uint32_t column = 0; column < WIDTH; column++)
                encode(in, out, filter, row, column);
    }
}
