/* A ternary layer on spikes, bit-sliced: a plane holds one bit a position, and every kept weight is
 * one vector of a shifted plane that goes into a tree of carry-save adders, whose planes count the
 * spikes of 64*words positions at once. Neurons with decay 1/2 and a hard reset to 0 run on these
 * planes; every other neuron on the counts as float.
 *
 * Rows may lie at a pitch wider than the output (`pitch`): its extra columns are computed and
 * dropped. A strided layer reads stride^2 phases of the input, in which every tap has stride 1. */
#include "bitsliced.h"

#include "bits.h"

/* ---- input: planes with room around them, split into phases */

static void split_plane(const Layer *l, const Sliced *p, const uint64_t *in, size_t py, size_t px,
                        uint64_t *out) {
    const Synapse *y = &l->y;
    const size_t wide = 63 / y->stride + 1;
    for (size_t row = py, to = 0; row < y->h; row += y->stride, to += p->pitch)
        for (size_t x = px, at = to; x < y->w; x += wide * y->stride, at += wide) {
            size_t left = (y->w - x - 1) / y->stride + 1, n = left < wide ? left : wide;
            uint64_t bits =
                thin_bits(row_bits(in, y->h, y->w, (int64_t)row, (int64_t)x, 64), y->stride);
            put_bits(out, at, n < 64 ? bits & (((uint64_t)1 << n) - 1) : bits, n);
        }
}

/* A unit is one channel. */
static void load_planes(const Layer *l, const Sliced *p, const uint64_t *in, const Share *share) {
    const Synapse *y = &l->y;
    uint64_t *out = (uint64_t *)(void *)(share->shared + p->at_in);
    memset(out + share->first * p->taps.channel, 0,
           (share->last - share->first) * p->taps.channel * 8);
    const size_t words = words_of((size_t)y->h * y->w);
    const bool whole = y->stride == 1 && y->w == p->pitch;
    for (size_t c = share->first; c < share->last; c++)
        for (size_t f = 0; f < p->phases; f++) {
            uint64_t *base = out + c * p->taps.channel + f * p->span * y->s;
            if (p->taps.single)
                base = out + c * p->taps.channel + f * round_up(y->s, (size_t)l->k->words);
            for (size_t s = 0; s < y->s; s++) {
                const uint64_t *from = in + (c * y->s + s) * words;
                uint64_t *to = base + (p->taps.single ? s : s * p->span + p->room);
                if (whole) memcpy(to, from, words * 8);
                else split_plane(l, p, from, f / p->phases_x, f % p->phases_x, to);
            }
        }
}

/* ---- neurons */

static void fire_floats(const Layer *l, const Sliced *p, uint32_t o, const uint64_t *counters,
                        size_t first, size_t words, void *out, const Share *share) {
    const Synapse *y = &l->y;
    float *z = (float *)(void *)(share->own + p->at_float);
    const size_t stride = p->out.tile * 64;
    for (uint32_t s = 0; s < y->s; s++) {
        float *to = z + s * stride;
        l->k->expand(counters + s * p->out.tile, p->out.counter, p->planes, words, p->offset[o],
                     to);
        l->k->affine(to, words * 64, y->alpha * p->scale[o], true, y->bias ? y->bias + o : NULL,
                     y->a ? y->a + o : NULL, y->b ? y->b + o : NULL);
    }
    if (l->fires) {
        uint64_t *spikes = (uint64_t *)(void *)(share->shared + p->at_spikes);
        l->k->fire(z, y->s == 1 ? 0 : stride, l->steps, words * 64, &l->neuron,
                   spikes + (size_t)o * l->steps * p->out.words + first, p->out.words,
                   membranes_at(l, share, o, first * 64));
        return;
    }
    const size_t n = out_positions(l), end = (first + words) * 64;
    for (uint32_t s = 0; s < y->s; s++) {
        float *to = (float *)out + ((size_t)s * y->cout + o) * n;
        for (size_t row = first * 64 / p->out.pitch; row < y->high && row * p->out.pitch < end;
             row++) {
            size_t from = row * p->out.pitch, x = from < first * 64 ? first * 64 - from : 0;
            size_t stop = from + y->wide < end ? y->wide : end - from;
            if (x < stop)
                memcpy(to + row * y->wide + x, z + s * stride + from + x - first * 64,
                       (stop - x) * sizeof *z);
        }
    }
}

static void fire_channel(const Layer *l, const Sliced *p, uint32_t o, const uint64_t *counters,
                         size_t first, size_t words, uint64_t *spikes) {
    const size_t lanes = (size_t)l->k->words;
    uint64_t fired[PLANE_STEPS * 8];
    for (size_t v = 0; v < words; v += lanes) {
        l->k->fire_planes(counters + v, p->out.counter, l->y.s == 1 ? 0 : p->out.tile, p->planes,
                          l->steps, has_memory(l), p->threshold + (size_t)o * p->thresholds, true,
                          fired, lanes);
        size_t n = words - v < lanes ? words - v : lanes;
        for (size_t t = 0; t < l->steps; t++)
            memcpy(spikes + t * p->out.words + first + v, fired + t * lanes, n * 8);
    }
}

static void fire_group(const Layer *l, const Sliced *p, size_t g, const uint64_t *counters,
                       uint64_t *spikes, uint64_t *room) {
    const size_t lanes = (size_t)l->k->words, S = l->y.s, tile = p->out.tile;
    const size_t o = g * p->group, left = l->y.cout - o, n = left < p->group ? left : p->group;
    const size_t channel = p->out.counter * p->planes;
    uint64_t fired[PLANE_STEPS * 8];
    const bool turned = tile == 1 && S == lanes && n == lanes;
    if (turned) l->k->turn(counters + o * channel, channel, p->out.counter, p->planes, room);
    for (size_t q = 0; !turned && q < n; q++)
        for (size_t j = 0; j < p->planes; j++) {
            const uint64_t *from = counters + (o + q) * channel + j * p->out.counter;
            for (size_t s = 0; s < S; s++)
                for (size_t w = 0; w < tile; w++)
                    room[(s * p->planes + j) * lanes + q * tile + w] = from[s * tile + w];
        }
    l->k->fire_planes(room, lanes, S == 1 ? 0 : p->planes * lanes, p->planes, l->steps,
                      has_memory(l), p->threshold + g * p->thresholds * lanes, false, fired, lanes);
    for (size_t q = 0; q < n; q++)
        for (size_t t = 0; t < l->steps; t++)
            memcpy(spikes + ((o + q) * l->steps + t) * p->out.words, fired + t * lanes + q * tile,
                   tile * 8);
}

/* Channels that are computed together. */
typedef struct {
    uint32_t from, to;
} Channels;

static void fire_tile(const Layer *l, const Sliced *p, Channels some, size_t first, void *out,
                      const Share *share) {
    const uint64_t *counters = (const uint64_t *)(const void *)(share->own + p->at_pooled);
    uint64_t *spikes = (uint64_t *)(void *)(share->shared + p->at_spikes);
    uint64_t *room = (uint64_t *)(void *)(share->own + p->at_group);
    const size_t channel = p->out.counter * p->planes, left = p->out.words - first;
    const size_t words = left < p->out.tile ? left : p->out.tile;
    if (p->group)
        for (size_t g = some.from / p->group; g * p->group < some.to; g++)
            fire_group(l, p, g, counters, spikes, room);
    for (uint32_t o = some.from; o < some.to; o++) {
        const uint64_t *c = counters + o * channel;
        if (p->exact[o]) fire_floats(l, p, o, c, first, words, out, share);
        else if (!p->group)
            fire_channel(l, p, o, c, first, words, spikes + (size_t)o * l->steps * p->out.words);
    }
}

static void emit(const Layer *l, const Sliced *p, Channels some, void *out, const Share *share) {
    const uint64_t *spikes = (const uint64_t *)(const void *)(share->shared + p->at_spikes);
    for (uint32_t o = some.from; l->fires && o < some.to; o++)
        layer_emit_spikes(l, o, spikes + (size_t)o * l->steps * p->out.words, p->out.words,
                          p->out.pitch, out, share->own);
}

static void count_tile(const Layer *l, const Sliced *p, Channels some, size_t first,
                       const Share *share) {
    const size_t lanes = (size_t)l->k->words, channel = p->counter * p->planes;
    const uint64_t *planes = (const uint64_t *)(const void *)(share->shared + p->at_in);
    uint64_t *slab = (uint64_t *)(void *)(share->own + p->at_slab);
    uint64_t *counters = (uint64_t *)(void *)(share->own + p->at_counters);
    memset(slab + p->taps.channels * p->taps.taps * lanes, 0, lanes * 8);
    for (size_t flat = 0; flat < p->flat; flat += lanes) {
        l->k->slab(&p->taps, planes, first, flat, slab);
        l->k->tree(slab, p->list + p->start[some.from], p->rows + some.from, some.to - some.from,
                   p->planes, counters + some.from * channel + flat, channel, p->counter);
    }
}

/* The sum grows with the counter unless its scale is negative. */
static void pool_counters(const Layer *l, const Sliced *p, Channels some, const Share *share) {
    const uint64_t *counters = (const uint64_t *)(const void *)(share->own + p->at_counters);
    uint64_t *pooled = (uint64_t *)(void *)(share->own + p->at_pooled);
    for (uint32_t o = some.from; o < some.to; o++)
        l->k->pool_planes(counters + o * p->counter * p->planes, p->counter, p->planes, l->y.s,
                          p->tile, (uint32_t)p->pitch, l->y.alpha * p->scale[o] < 0,
                          pooled + o * p->out.counter * p->planes, p->out.counter, p->out.tile);
}

/* A unit is one group of channels at one tile, tile by tile: where a tile is cut in two, its slab
 * is made twice. */
static void count_and_fire(const Layer *l, const Sliced *p, void *out, const Share *share) {
    const size_t groups = groups_of(l, p), unit = unit_of(p), tiles = tiles_of(p);
    for (size_t at = share->first, end; at < share->last; at = end) {
        const size_t tile = at / groups, before = tile * groups;
        end = before + groups < share->last ? before + groups : share->last;
        const size_t to = (end - before) * unit;
        const Channels some = {(uint32_t)((at - before) * unit),
                               to < l->y.cout ? (uint32_t)to : l->y.cout};
        count_tile(l, p, some, tile * p->tile, share);
        if (l->y.pool > 1) pool_counters(l, p, some, share);
        fire_tile(l, p, some, tile * p->tile, out, share);
        if (tiles == 1) emit(l, p, some, out, share);
    }
}

void bitsliced_run(const Layer *l, const void *in, void *out, const Share *share) {
    const Sliced *p = l->plan;
    const Channels some = {(uint32_t)share->first, (uint32_t)share->last};
    if (share->phase == 0) load_planes(l, p, in, share);
    else if (share->phase == 1) count_and_fire(l, p, out, share);
    else emit(l, p, some, out, share);
}
