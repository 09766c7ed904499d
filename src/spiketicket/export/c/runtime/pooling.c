/* Every second bit, the first first. */
static uint32_t even_bits(uint32_t x)
{
    x &= 0x55555555u;
    x = (x | x >> 1) & 0x33333333u;
    x = (x | x >> 2) & 0x0f0f0f0fu;
    x = (x | x >> 4) & 0x00ff00ffu;
    return (x | x >> 8) & 0x0000ffffu;
}

static void every(uint32_t *row, uint32_t width, uint32_t stride)
{
    for (uint32_t x = 0; x < width; x++) {
        const uint32_t from = x * stride, bit = row[from / 32u] >> (from % 32u) & 1u;
        row[x / 32u] = (row[x / 32u] & ~(ONE << (x % 32u))) | bit << (x % 32u);
    }
}

static void pool_row(uint32_t *row, const uint32_t *above, uint32_t width, uint32_t pooled)
{
    for (uint32_t i = 0; i < (pooled + 31u) / 32u; i++) {
        const uint32_t a = row[2u * i] | above[2u * i];
        uint32_t word = even_bits(a | a >> 1);
#if WORDS > 1
        if (64u * i + 32u < width) {
            const uint32_t b = row[2u * i + 1u] | above[2u * i + 1u];
            word |= even_bits(b | b >> 1) << 16;
        }
#endif
        row[i] = word & lanes(pooled, i);
    }
    (void)width;
}

#if POOL_SUMS
/* Every second lane of each time step, side by side. */
static uint32_t even_lanes(const spike_map *in, uint32_t word)
{
    uint32_t kept = 0;
    if (in->width > 16u || !(in->width & 1u)) return even_bits(word);
    for (uint32_t i = pack_of(in); i--;)
        kept = kept << (in->width / 2u) |
               (even_bits(word >> (i * in->width)) & lanes(in->width / 2u, 0));
    return kept;
}

/* Every lane of `sum` takes the other's number where that is larger, or with `least` smaller. */
static void keep_extreme(uint32_t *sum, const uint32_t *other, uint32_t planes, uint32_t least)
{
    uint32_t take = 0;
    for (uint32_t k = 0; k < planes; k++) {
        const uint32_t differ = sum[k] ^ other[k];
        take = (take & ~differ) | (other[k] & differ);
    }
    if (least) take = ~take;
    for (uint32_t k = 0; k < planes; k++) sum[k] ^= (sum[k] ^ other[k]) & take;
}

/* Two rows of sums of one slab become one row of the extremes of their 2x2 windows. */
static void pool_sums(const synapse *l, uint32_t least, uint32_t (*sum)[PLANES],
                      uint32_t (*below)[PLANES])
{
    const uint32_t planes = l->planes;
    for (uint32_t block = 0; block < blocks_of(&l->in); block++) {
        uint32_t *all = sum[block], *right = below[block], *out = sum[block / 2u];
        keep_extreme(all, right, planes, least);
        for (uint32_t k = 0; k < planes; k++) right[k] = all[k] >> 1;
        keep_extreme(all, right, planes, least);
        for (uint32_t k = 0; k < planes; k++) {
            const uint32_t word = even_lanes(&l->in, all[k]);
            out[k] = block & 1u ? out[k] | word << 16 : word;
        }
    }
}
#endif
