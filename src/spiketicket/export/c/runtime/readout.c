/* The classifier, on numbers of spikes. Its weights: for each class a list as the first layer's,
 * of features in the order (channel, row, column). */
static const spike_map features = READOUT_MAP;
static count_of spikes_of[FEATURES];

static uint32_t spikes_at(uint32_t channel, uint32_t row, uint32_t column)
{
    const uint32_t pack = pack_of(&features);
    uint32_t count = 0;
    for (uint32_t t = 0; t < features.steps; t++) {
        const uint32_t lane = t % pack * features.width + column % 32u;
        const uint32_t at = word_at(&features, t / pack, column / 32u, row);
        count += ram[at + channel] >> lane & 1u;
    }
    return count;
}

static void count_spikes(void)
{
    count_of *next = spikes_of;
    for (uint32_t channel = 0; channel < features.channels; channel++) {
        uint32_t whole = 0;
        for (uint32_t row = 0; row < features.rows; row++)
            for (uint32_t column = 0; column < features.width; column++) {
                const uint32_t count = spikes_at(channel, row, column);
#if READOUT_POSITIONS
                whole += count;
#else
                *next++ = (count_of)count;
#endif
            }
#if READOUT_POSITIONS
        *next++ = (count_of)whole;
#endif
        (void)whole;
    }
}

#if READOUT_FLOAT
static float as_summed(uint32_t count) { return (float)count / READOUT_DIVISOR; }
#else
static int32_t as_summed(uint32_t count) { return (int32_t)count; }
#endif

static void run_readout(logit *logits)
{
    const uint8_t *next = readout_weights;
    count_spikes();
    for (uint32_t o = 0; o < CLASSES; o++) {
        uint32_t byte, at = ALL;
#if READOUT_FLOAT
        volatile float sum = 0.0f; /* never fused into multiply-adds */
#else
        int32_t sum = 0;
#endif
        while ((byte = *next++) != 128u) {
            at += byte ? byte & 127u : 127u;
            if (byte > 128u)
                sum = sum - as_summed(spikes_of[at]);
            else if (byte)
                sum = sum + as_summed(spikes_of[at]);
        }
#if READOUT_FLOAT
        sum = READOUT_ALPHA * sum;
#endif
#if READOUT_BIAS
        sum = sum + readout_bias[o];
#endif
#if READOUT_SCALE
        sum = readout_scale[o] * sum;
        sum = sum + readout_shift[o];
#endif
        logits[o] = sum;
    }
}
