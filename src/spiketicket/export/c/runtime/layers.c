#if SYNAPSES
static const uint8_t *add_list(const synapse *l, const uint8_t *weights, const uint32_t *in,
                               uint32_t invert, uint32_t *sum)
{
#if WIDE_LISTS && NARROW_LISTS
    return (l->narrow ? add_narrow : add_wide)(weights, in, invert, sum, l->planes);
#elif NARROW_LISTS
    return add_narrow(weights, in, invert, sum, l->planes);
#else
    return add_wide(weights, in, invert, sum, l->planes);
#endif
}

static void add_planes(uint32_t *sum, const uint32_t *more, uint32_t planes)
{
    uint32_t carry = 0;
    for (uint32_t k = 0; k < planes; k++) {
        const uint32_t half = sum[k] ^ more[k], both = sum[k] & more[k];
        sum[k] = half ^ carry;
        carry = both | (half & carry);
    }
}

/* Lane x takes the sum of lane x + by of its row; outside the row there are zeros, whose sum is
 * `outside`, since every -1 counts the absence of a spike. */
static void shift_row(uint32_t (*row)[PLANES], uint32_t blocks, uint32_t planes, int32_t by,
                      const uint32_t *keep, uint32_t outside)
{
#if WORDS == 1
    const uint32_t left = by < 0 ? (uint32_t)-by : 0u, right = by > 0 ? (uint32_t)by : 0u;
    const uint32_t none = ~*keep, shift = left + right < 32u;
    (void)blocks;
    for (uint32_t k = 0; k < planes; k++, outside >>= 1) {
        /* No lane is inside where the kernel is wider than any row. */
        const uint32_t word = shift ? (row[0][k] << left >> right) & *keep : 0u;
        row[0][k] = outside & 1u ? word | none : word;
    }
#else
    const int32_t far = (by - (by & 31)) / 32;
    const uint32_t near = (uint32_t)by & 31u;
    for (uint32_t i = 0; i < blocks; i++) {
        const uint32_t block = by > 0 ? i : blocks - 1u - i;
        const int32_t low = (int32_t)block + far, high = low + 1;
        for (uint32_t k = 0; k < planes; k++) {
            uint32_t word = 0;
            if (low >= 0 && low < (int32_t)blocks) word = row[low][k] >> near;
            if (near && high >= 0 && high < (int32_t)blocks) word |= row[high][k] << (32u - near);
            word &= keep[block];
            row[block][k] = (outside >> k & 1u) ? word | ~keep[block] : word;
        }
    }
#endif
}

/* Sums of one output channel, one row, one slab; returns the next channel's weights. The kernel
 * column that needs no shift comes first. */
static const uint8_t *sum_row(const synapse *l, const uint8_t *weights, uint32_t row, uint32_t slab,
                              uint32_t (*total)[PLANES])
{
    const uint32_t blocks = blocks_of(&l->in), planes = l->planes, pad = l->in.pad;
    const uint32_t *in = ram + word_at(&l->in, slab, 0, row * l->stride);
    const uint32_t next_block = (l->in.rows + 2u * pad) * l->in.channels;
    for (uint32_t i = 0; i < l->kernel; i++) {
        uint32_t (*sum)[PLANES] = i ? column_counts : total;
        const uint32_t kx = i > pad ? i : i ? i - 1u : pad;
        const uint8_t *next = weights;
        uint32_t minus;
        for (uint32_t block = 0; block < blocks; block++) {
            for (uint32_t k = 0; k < planes; k++) sum[block][k] = 0;
            next = add_list(l, weights, in + block * next_block, ALL, sum[block]);
            next = add_list(l, next, in + block * next_block, 0u, sum[block]);
        }
        (void)read_count(weights, &minus);
        weights = next;
        if (!i) continue;
        shift_row(sum, blocks, planes, (int32_t)kx - (int32_t)pad, inside[kx], minus);
        for (uint32_t block = 0; block < blocks; block++)
            add_planes(total[block], sum[block], planes);
    }
    return weights;
}

/* Lanes whose number of `planes` bits is at least `bound`. */
static uint32_t at_least(const uint32_t *number, uint32_t planes, uint32_t bound)
{
    uint32_t yes = ALL;
    if (bound >> planes) return 0;
    for (; planes; planes--, number++, bound >>= 1)
        yes = (bound & 1u) ? (*number & yes) : (*number | yes);
    return yes;
}

/* Lanes that a row of neurons takes. */
static uint32_t cells_of(const synapse *l)
{
    return l->pool_sums ? l->in.width / 2u : l->in.width;
}

/* Rows whose neurons are computed together: as many as fit a word. */
static uint32_t group_of(const synapse *l)
{
    const uint32_t fit = cells_of(l) > 16u ? 1u : 32u / cells_of(l);
    return fit < l->rows ? fit : l->rows;
}

/* Where the sums of a step lie: slot, and first lane of its words. */
static uint32_t slot_of(const synapse *l, uint32_t step, uint32_t block, uint32_t *lane)
{
    const uint32_t pack = pack_of(&l->in);
    if (l->in.steps == 1u) step = 0;
    *lane = step % pack * cells_of(l);
    return step / pack * blocks_of(&l->in) + block;
}

/* Sums of a step, the rows of a group side by side. */
static void gather(const synapse *l, uint32_t step, uint32_t block, uint32_t *sum)
{
    const uint32_t planes = l->planes, width = cells_of(l), group = group_of(l);
    uint32_t lane;
    const uint32_t slot = slot_of(l, step, block, &lane);
    if (group == 1u) {
        for (uint32_t k = 0; k < planes; k++) sum[k] = counts[0][slot][k] >> lane;
        return;
    }
    for (uint32_t k = 0; k < planes; k++) {
        const uint32_t one = lanes(width, 0);
        uint32_t word = 0;
        for (uint32_t g = group; g--;) word = word << width | (counts[g][slot][k] >> lane & one);
        sum[k] = word;
    }
}

#if FALLBACK
/* The neuron of one lane in float32, rounded after every operation, from the first step on. */
static uint32_t exact(const synapse *l, uint32_t channel, uint32_t block, uint32_t lane,
                      uint32_t step)
{
    const int32_t offset = l->offsets[channel];
    const uint32_t row = group_of(l) == 1u ? 0u : lane / cells_of(l);
    float v = 0.0f;
    uint32_t spike = 0;
    for (uint32_t t = l->memory ? 0u : step; t <= step; t++) {
        uint32_t at;
        const uint32_t *sum = counts[row][slot_of(l, t, block, &at)];
        int32_t n = -(offset / 2);
        volatile float z; /* is rounded at every step and never fused into multiply-adds */
        at += lane - row * cells_of(l);
        for (uint32_t k = 0; k < l->planes; k++) n += (int32_t)((sum[k] >> at & 1u) << k);
        z = l->alpha * (float)(offset & 1 ? -n : n);
        if (l->bias) z = z + l->bias[channel];
        if (l->scale) {
            z = l->scale[channel] * z;
            z = z + l->shift[channel];
        }
        if (l->memory) z = v * 0.5f + z;
        spike = z >= l->v_threshold;
        v = spike ? 0.0f : z;
    }
    return spike;
}
#endif

/* Lanes of `number` that spike `level` steps after the last spike; those that float32 must decide
 * are added to `near`. */
static uint32_t compare(const synapse *l, uint32_t entry, const uint32_t *number, uint32_t planes,
                        uint32_t *near)
{
    const uint32_t bound = l->thresholds[entry];
    const uint32_t yes = at_least(number, planes, bound);
    *near = 0;
#if FALLBACK
    if (l->bands && l->bands[entry]) *near = ~yes & at_least(number, planes, bound - l->bands[entry]);
#endif
    return yes;
}

/* The spikes of a neuron with membrane: a lane's threshold depends on how long ago it spiked. */
static uint32_t compare_all(const synapse *l, uint32_t channel, uint32_t block,
                            const uint32_t *number, uint32_t fraction, uint32_t step, uint32_t *near)
{
    const uint32_t planes = l->planes + 1u + fraction, entry = channel * STEPS;
    uint32_t yes = compare(l, entry + step, number, planes, near);
    for (uint32_t n = step; n; n--) {
        const uint32_t recent = fired[step - n][block];
        if (recent) {
            const uint32_t used = n - 1u < l->fraction ? n - 1u : l->fraction, skip = fraction - used;
            uint32_t close;
            const uint32_t now = compare(l, entry + n - 1u, number + skip, planes - skip, &close);
            yes = (yes & ~recent) | (now & recent);
            *near = (*near & ~recent) | (close & recent);
        }
    }
    return yes;
}

/* Halves every lane's membrane, which is 0 outside `keep`; returns its bits after the point. */
static uint32_t leak(const synapse *l, uint32_t *number, uint32_t fraction, uint32_t keep)
{
    const uint32_t planes = l->planes + 1u + fraction;
    if (fraction < l->fraction) {
        for (uint32_t k = 0; k < planes; k++) number[k] &= keep;
        number[planes] = 0;
        return fraction + 1u;
    }
    for (uint32_t k = 1; k < planes; k++) number[k - 1u] = number[k] & keep;
    number[planes - 1u] = 0;
    return fraction;
}

/* Spikes of a group of rows into `fired`. */
static void fire(const synapse *l, uint32_t channel, uint32_t block)
{
    uint32_t sum[PLANES], number[PLANES + 1 + FRACTION], fraction = 0;
    memset(number, 0, sizeof number);
    for (uint32_t t = 0; t < l->out.steps; t++) {
        uint32_t near, carry = 0, yes;
        if (!t || l->in.steps > 1u) gather(l, t, block, sum);
        if (l->memory && t) fraction = leak(l, number, fraction, ~fired[t - 1u][block]);
        if (l->memory) {
            for (uint32_t k = 0; k < l->planes; k++) {
                const uint32_t half = number[fraction + k] ^ sum[k];
                const uint32_t both = number[fraction + k] & sum[k];
                number[fraction + k] = half ^ carry;
                carry = both | (half & carry);
            }
            number[fraction + l->planes] = carry;
            yes = compare_all(l, channel, block, number, fraction, t, &near);
        } else {
            yes = compare(l, channel, sum, l->planes, &near);
        }
#if FALLBACK
        near &= lanes(cells_of(l) * group_of(l), block);
        for (uint32_t lane = 0; near; lane++, near >>= 1)
            if (near & 1u) yes |= exact(l, channel, block, lane, t) << lane;
#endif
        fired[t][block] = yes;
    }
}
#endif

/* Puts one row of one channel, `line`, into the next map. */
static void store_row(const spike_map *out, uint32_t channel, uint32_t row)
{
    const uint32_t pack = pack_of(out), blocks = blocks_of(out), slabs = slabs_of(out);
    for (uint32_t slab = 0; slab < slabs; slab++)
        for (uint32_t block = 0; block < blocks; block++) {
            uint32_t word = 0;
            for (uint32_t i = 0; i < pack && slab * pack + i < out->steps; i++)
                word |= line[slab * pack + i][block] << (i * out->width);
            ram[word_at(out, slab, block, row + out->pad) + channel] = word;
        }
}

/* What follows a neuron: stride, pooling, the next map. The row starts at a lane of `fired`. */
static void finish_row(const synapse *l, uint32_t number, uint32_t channel, uint32_t row,
                       uint32_t lane)
{
    const uint32_t blocks = (l->width + 31u) / 32u;
    (void)number;
    for (uint32_t t = 0; t < l->out.steps; t++) {
        for (uint32_t block = 0; block < WORDS; block++) line[t][block] = fired[t][block] >> lane;
        if (l->stride > 1u) every(line[t], l->width, l->stride);
        for (uint32_t block = 0; block < blocks; block++) line[t][block] &= lanes(l->width, block);
        TRACE(number, t, channel, row, line[t]);
        if (l->pool && (row & 1u)) pool_row(line[t], held[t], l->width, l->out.width);
    }
    if (!l->pool)
        store_row(&l->out, channel, row);
    else if (row & 1u)
        store_row(&l->out, channel, row / 2u);
    else
        memcpy(held, line, sizeof held);
}

static void clear_map(const spike_map *m)
{
    const uint32_t words = slabs_of(m) * blocks_of(m) * (m->rows + 2u * m->pad) * m->channels;
    memset(ram + m->at, 0, words * sizeof ram[0]);
}

#if SYNAPSES
static void mark_inside(const synapse *l)
{
    const spike_map *in = &l->in;
    memset(inside, 0, sizeof inside);
    for (uint32_t kx = 0; kx < l->kernel; kx++)
        for (uint32_t i = 0; i < pack_of(in); i++)
            for (uint32_t x = 0; x < in->width; x++) {
                const uint32_t lane = i * in->width + x, from = x + kx - in->pad;
                if (from < in->width) inside[kx][lane / 32u] |= ONE << (lane % 32u);
            }
}

/* Sums that the neurons of one output channel and one row are given, of one slab; returns the next
 * channel's weights. */
static const uint8_t *sums_of_row(const synapse *l, const uint8_t *weights, uint32_t channel,
                                  uint32_t row, uint32_t slab, uint32_t (*sum)[PLANES])
{
#if POOL_SUMS
    if (l->pool_sums) {
        /* The largest sum: where the signs are turned, the smallest. */
        const uint32_t least = l->offsets ? (uint32_t)l->offsets[channel] & 1u : 0u;
        const uint8_t *next = sum_row(l, weights, 2u * row, slab, sum);
        (void)sum_row(l, weights, 2u * row + 1u, slab, counts_below);
        pool_sums(l, least, sum, counts_below);
        return next;
    }
#endif
    (void)channel;
    return sum_row(l, weights, row, slab, sum);
}

static void run_synapse(const synapse *l, uint32_t number)
{
    const uint32_t group = group_of(l), slabs = slabs_of(&l->in), blocks = blocks_of(&l->in);
    const uint32_t fired_blocks = (cells_of(l) + 31u) / 32u;
    const uint8_t *weights = l->weights;
    mark_inside(l);
    clear_map(&l->out);
    for (uint32_t channel = 0; channel < l->out.channels; channel++) {
        const uint8_t *next = weights;
        for (uint32_t row = 0; row < l->rows; row += group) {
            const uint32_t rows = l->rows - row < group ? l->rows - row : group;
            for (uint32_t g = 0; g < rows; g++)
                for (uint32_t slab = 0; slab < slabs; slab++)
                    next = sums_of_row(l, weights, channel, row + g, slab, counts[g] + slab * blocks);
            for (uint32_t block = 0; block < fired_blocks; block++) fire(l, channel, block);
            for (uint32_t g = 0; g < rows; g++)
                finish_row(l, number, channel, row + g, g * cells_of(l));
        }
        weights = next;
    }
}
#endif
