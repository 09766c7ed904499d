/* A ternary layer on spikes, bit-sliced: a plane holds one bit a position, and every kept weight is
 * one vector of a shifted plane that goes into a tree of carry-save adders, whose planes count the
 * spikes of 64*words positions at once. Neurons with decay 1/2 and a hard reset to 0 run on these
 * planes; every other neuron on the counts as float.
 *
 * Rows may lie at a pitch wider than the output (`pitch`): its extra columns are computed and
 * dropped. A strided layer reads stride^2 phases of the input, in which every tap has stride 1.
 *
 * Neuron on planes. With g = alpha*a > 0 and y = bias*a + b, the membrane k steps after the last
 * spike is g*m + y*(2 - 2^(1-k)), m = sum of n[t-j] / 2^j over these k steps. It reaches the
 * threshold where m >= (v_threshold - y*(2 - 2^(1-k))) / g: one whole number of 2^(1-k) for each
 * k. The definition rounds every operation to float32; where a reachable m is nearer to the real
 * threshold than all this rounding can move it, the channel takes the float path instead. */
#include "net.h"

#include "bits.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_WORDS = 65535, TILE_BYTES = 256 << 10 }; /* a list counts in words of the slab */

typedef struct {
    uint32_t planes;
    size_t pitch, words; /* of a step */
    size_t room, span;   /* words before a plane; words of a plane with room */
    uint32_t phases_x, phases;
    Taps taps;
    size_t *phase;
    int64_t *shift;
    uint64_t *mask;
    size_t tile, flat, counter; /* words of a tile, of its steps together, of a counter's plane */
    TreeRow *rows;
    uint32_t (*kept)[2]; /* of each channel: weights that count down, and up */
    uint16_t *list;
    size_t *start; /* of each channel in the list */
    float *offset, *scale; /* of each channel: its sum is scale * (counter - offset) */
    bool *exact;           /* by float */
    uint32_t thresholds;   /* words a channel */
    uint64_t *threshold;   /* [channel or group][thresholds][1 or vector] */
    uint32_t group;        /* channels in one vector of neurons; 0: one channel over many words */
    size_t at_in, at_slab, at_counters, at_spikes, at_group, at_float;
} Sliced;

static void sliced_free(void *plan) {
    Sliced *p = plan;
    if (!p) return;
    void *parts[] = {p->phase, p->shift, p->mask, p->rows, p->kept, p->list, p->start, p->offset, p->scale,
                     p->exact, p->threshold, p};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
}

static bool on_planes(const Layer *l) {
    const Neuron *n = &l->neuron;
    if (!l->fires || l->steps > PLANE_STEPS) return false;
    return n->kind == NEURON_STEP || (n->charge == 0 && !n->soft && n->decay == 0.5f &&
                                      n->v_reset == 0 && n->v_rest == 0);
}

static bool has_memory(const Layer *l) { return l->neuron.kind == NEURON_LIF; }

bool bitsliced_fits(const Layer *l) {
    const Synapse *y = &l->y;
    uint64_t inputs = (uint64_t)y->cin * y->kh * y->kw;
    return l->in.kind == KIND_SPK && y->ternary && !y->flatten && y->stride <= 4 &&
           inputs * (uint64_t)l->k->words <= MOST_WORDS && inputs < 1u << MAX_PLANES && y->pad <= 64 && y->kh <= 64 &&
           y->kw <= 64 && (uint64_t)y->ho * y->wo <= 1u << 20;
}

/* ---- input: planes with room around them, split into phases */

static void split_plane(const Layer *l, const Sliced *p, const uint64_t *in, size_t py, size_t px,
                        uint64_t *out) {
    const Synapse *y = &l->y;
    const size_t wide = 63 / y->stride + 1;
    for (size_t row = py, to = 0; row < y->h; row += y->stride, to += p->pitch)
        for (size_t x = px, at = to; x < y->w; x += wide * y->stride, at += wide) {
            size_t left = (y->w - x - 1) / y->stride + 1, n = left < wide ? left : wide;
            uint64_t bits = thin_bits(row_bits(in, y->h, y->w, (int64_t)row, (int64_t)x, 64), y->stride);
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
            if (p->taps.single) base = out + c * p->taps.channel + f * round_up(y->s, (size_t)l->k->words);
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
    const size_t stride = p->tile * 64;
    for (uint32_t s = 0; s < y->s; s++) {
        float *to = z + s * stride;
        l->k->expand(counters + s * p->tile, p->counter, p->planes, words, p->offset[o], to);
        l->k->affine(to, words * 64, y->alpha * p->scale[o], true, y->bias ? y->bias + o : NULL,
                     y->a ? y->a + o : NULL, y->b ? y->b + o : NULL);
    }
    if (l->fires) {
        uint64_t *spikes = (uint64_t *)(void *)(share->shared + p->at_spikes);
        l->k->fire(z, y->s == 1 ? 0 : stride, l->steps, words * 64, &l->neuron,
                   spikes + (size_t)o * l->steps * p->words + first, p->words);
        return;
    }
    const size_t n = (size_t)y->ho * y->wo, end = (first + words) * 64;
    for (uint32_t s = 0; s < y->s; s++) {
        float *to = (float *)out + ((size_t)s * y->cout + o) * n;
        for (size_t row = first * 64 / p->pitch; row < y->ho && row * p->pitch < end; row++) {
            size_t from = row * p->pitch, x = from < first * 64 ? first * 64 - from : 0;
            size_t stop = from + y->wo < end ? y->wo : end - from;
            if (x < stop)
                memcpy(to + row * y->wo + x, z + s * stride + from + x - first * 64,
                       (stop - x) * sizeof *z);
        }
    }
}

static void fire_channel(const Layer *l, const Sliced *p, uint32_t o, const uint64_t *counters,
                         size_t first, size_t words, uint64_t *spikes) {
    const size_t lanes = (size_t)l->k->words;
    uint64_t fired[PLANE_STEPS * 8];
    for (size_t v = 0; v < words; v += lanes) {
        l->k->fire_planes(counters + v, p->counter, l->y.s == 1 ? 0 : p->tile, p->planes, l->steps,
                          has_memory(l), p->threshold + (size_t)o * p->thresholds, true, fired, lanes);
        size_t n = words - v < lanes ? words - v : lanes;
        for (size_t t = 0; t < l->steps; t++)
            memcpy(spikes + t * p->words + first + v, fired + t * lanes, n * 8);
    }
}

static void fire_group(const Layer *l, const Sliced *p, size_t g, const uint64_t *counters,
                       uint64_t *spikes, uint64_t *room) {
    const size_t lanes = (size_t)l->k->words, S = l->y.s, tile = p->tile;
    const size_t o = g * p->group, left = l->y.cout - o, n = left < p->group ? left : p->group;
    const size_t channel = p->counter * p->planes;
    uint64_t fired[PLANE_STEPS * 8];
    const bool turned = tile == 1 && S == lanes && n == lanes;
    if (turned) l->k->turn(counters + o * channel, channel, p->counter, p->planes, room);
    for (size_t q = 0; !turned && q < n; q++)
        for (size_t j = 0; j < p->planes; j++) {
            const uint64_t *from = counters + (o + q) * channel + j * p->counter;
            for (size_t s = 0; s < S; s++)
                for (size_t w = 0; w < tile; w++)
                    room[(s * p->planes + j) * lanes + q * tile + w] = from[s * tile + w];
        }
    l->k->fire_planes(room, lanes, S == 1 ? 0 : p->planes * lanes, p->planes, l->steps,
                      has_memory(l), p->threshold + g * p->thresholds * lanes, false, fired, lanes);
    for (size_t q = 0; q < n; q++)
        for (size_t t = 0; t < l->steps; t++)
            memcpy(spikes + ((o + q) * l->steps + t) * p->words, fired + t * lanes + q * tile, tile * 8);
}

/* Channels that are computed together. */
typedef struct {
    uint32_t from, to;
} Channels;

static void fire_tile(const Layer *l, const Sliced *p, Channels some, size_t first, void *out,
                      const Share *share) {
    const uint64_t *counters = (const uint64_t *)(const void *)(share->own + p->at_counters);
    uint64_t *spikes = (uint64_t *)(void *)(share->shared + p->at_spikes);
    uint64_t *room = (uint64_t *)(void *)(share->own + p->at_group);
    const size_t channel = p->counter * p->planes, left = p->words - first;
    const size_t words = left < p->tile ? left : p->tile;
    if (p->group)
        for (size_t g = some.from / p->group; g * p->group < some.to; g++)
            fire_group(l, p, g, counters, spikes, room);
    for (uint32_t o = some.from; o < some.to; o++) {
        const uint64_t *c = counters + o * channel;
        if (p->exact[o]) fire_floats(l, p, o, c, first, words, out, share);
        else if (!p->group)
            fire_channel(l, p, o, c, first, words, spikes + (size_t)o * l->steps * p->words);
    }
}

static void emit(const Layer *l, const Sliced *p, Channels some, void *out, const Share *share) {
    const uint64_t *spikes = (const uint64_t *)(const void *)(share->shared + p->at_spikes);
    for (uint32_t o = some.from; l->fires && o < some.to; o++)
        layer_emit_spikes(l, o, spikes + (size_t)o * l->steps * p->words, p->words, p->pitch, out,
                          share->own);
}

static size_t tiles_of(const Sliced *p) { return (p->words + p->tile - 1) / p->tile; }
static uint32_t unit_of(const Sliced *p) { return p->group ? p->group : 1; }
static size_t groups_of(const Layer *l, const Sliced *p) {
    return (l->y.cout + unit_of(p) - 1) / unit_of(p);
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
        fire_tile(l, p, some, tile * p->tile, out, share);
        if (tiles == 1) emit(l, p, some, out, share);
    }
}

static void sliced_run(const Layer *l, const void *in, void *out, const Share *share) {
    const Sliced *p = l->plan;
    const Channels some = {(uint32_t)share->first, (uint32_t)share->last};
    if (share->phase == 0) load_planes(l, p, in, share);
    else if (share->phase == 1) count_and_fire(l, p, out, share);
    else emit(l, p, some, out, share);
}

/* ---- plan */

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static void plan_taps(const Layer *l, Sliced *p) {
    const Synapse *y = &l->y;
    const size_t stride = y->stride;
    for (size_t ky = 0, k = 0; ky < y->kh; ky++)
        for (size_t kx = 0; kx < y->kw; kx++, k++) {
            int64_t dy = (int64_t)ky - y->pad, dx = (int64_t)kx - y->pad;
            int64_t qy = floor_div(dy, y->stride), qx = floor_div(dx, y->stride);
            size_t f = (size_t)(dy - qy * (int64_t)stride) * p->phases_x +
                       (size_t)(dx - qx * (int64_t)stride);
            p->shift[k] = qy * (int64_t)p->pitch + qx;
            p->phase[k] = p->taps.single ? f * round_up(y->s, (size_t)l->k->words)
                                         : f * p->span * y->s + p->room;
            uint64_t *mask = p->mask + k * p->taps.mask_words;
            for (int64_t yo = 0; yo < y->ho; yo++)
                for (int64_t xo = 0; xo < y->wo; xo++) {
                    int64_t yi = yo * y->stride + dy, xi = xo * y->stride + dx;
                    if (yi < 0 || yi >= y->h || xi < 0 || xi >= y->w) continue;
                    size_t at = (size_t)yo * p->pitch + (size_t)xo;
                    mask[at / 64] |= (uint64_t)1 << at % 64;
                }
        }
}

/* The pitch, the words of a step, and the room that the largest shifts need. */
static void plan_geometry(const Layer *l, Sliced *p) {
    const Synapse *y = &l->y;
    const size_t lanes = (size_t)l->k->words, narrow = (y->w - 1) / y->stride + 1;
    p->pitch = narrow > y->wo ? narrow : y->wo;
    p->words = words_of(y->ho * p->pitch);
    p->phases_x = y->stride;
    p->phases = y->stride * y->stride;
    const size_t high = (y->h - 1) / y->stride + 1, held = words_of(high * p->pitch);
    const size_t all = words_of((size_t)y->cout * p->words * y->s * 16) * 64; /* rough */
    p->tile = p->words;
    if (p->words > lanes && all > TILE_BYTES) {
        size_t fit = TILE_BYTES / ((size_t)y->cout * y->s * 16 * 8);
        p->tile = fit < lanes ? lanes : fit / lanes * lanes;
        if (p->tile > p->words) p->tile = p->words;
    }
    p->flat = round_up(p->tile * y->s, lanes);
    p->counter = p->flat;
    const size_t padded = round_up(p->words, p->tile) + lanes;
    p->taps = (Taps){.channels = y->cin, .taps = (size_t)y->kh * y->kw, .steps = y->s,
                     .tile = p->tile, .mask_words = padded,
                     .single = lanes > 1 && p->words == 1 && held == 1};
    const size_t before = (size_t)(y->pad + 1) * (p->pitch + 1);
    const size_t after = (size_t)(y->kh + 1) * (p->pitch + 1);
    p->room = words_of(before) + 1;
    p->span = p->room + (held > padded ? held : padded) + words_of(after) + 2 + lanes;
    p->taps.step = p->span;
    p->taps.channel = p->span * y->s * p->phases;
    if (p->taps.single) p->taps.channel = round_up(y->s, lanes) * p->phases;
}

static uint64_t plan_lists(const Layer *l, Sliced *p, uint16_t *list) {
    const Synapse *y = &l->y;
    const size_t inputs = (size_t)y->cin * y->kh * y->kw, lanes = (size_t)l->k->words;
    uint64_t at = 0, most = 0;
    for (size_t o = 0; o < y->cout; o++) {
        const float *a = y->a ? y->a + o : NULL;
        const bool flip = on_planes(l) && (a && *a < 0) != (y->alpha < 0);
        uint32_t *count = p->kept[o];
        p->start[o] = (size_t)at;
        count[0] = count[1] = 0;
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < inputs; i++) {
                const uint64_t k = (uint64_t)o * inputs + i;
                if (!kept_bit(y->keep, k) || (kept_bit(y->sign, k) != flip) != (side == 1)) continue;
                if (list) list[at] = (uint16_t)(i * lanes);
                at++, count[side]++;
            }
            for (; at % 4; at++)
                if (list) list[at] = (uint16_t)(inputs * lanes);
        }
        p->rows[o] = (TreeRow){.negative = (uint16_t)((count[0] + 3) / 4),
                               .positive = (uint16_t)((count[1] + 3) / 4)};
        p->offset[o] = (float)count[0];
        p->scale[o] = flip ? -1.0f : 1.0f;
        if (count[0] + count[1] > most) most = (uint64_t)count[0] + count[1];
        p->exact[o] = true;
    }
    for (p->planes = 5; most >> p->planes; p->planes++) {}
    return at;
}

/* The whole number of 2^(1-k) that m must reach k steps after a spike; false where it is not
 * certain. n0, n1: kept weights that count down and up. */
static bool threshold_of(const Layer *l, uint32_t o, uint32_t k, double n0, double n1, double *th) {
    const Synapse *y = &l->y;
    const double a = y->a ? y->a[o] : 1, b = y->b ? y->b[o] : 0, bias = y->bias ? y->bias[o] : 0;
    const double gain = fabs(a * (double)y->alpha), offset = a * bias + b;
    const double largest = fabs(a) * (fabs((double)y->alpha) * fmax(n0, n1) + fabs(bias)) + fabs(b);
    const double reach = 2 - ldexp(1, 1 - (int)k), unit = ldexp(1, (int)k - 1);
    const double at = unit * ((l->neuron.v_threshold - offset * reach) / gain + n0 * reach);
    /* at most 14 roundings of values up to 2*largest reach the membrane: see docs of the format */
    const double error = unit * (ldexp(largest, -20) + 1e-37) / gain + 1e-9;
    const double most = (n0 + n1) * (ldexp(1, (int)k) - 1);
    if (!(gain > 0) || !isfinite(at) || !isfinite(error) || largest > 1e37) return false;
    *th = ceil(at);
    if (at < -error) *th = 0;
    else if (at > most + error) *th = most + 1;
    else return fabs(at - nearbyint(at)) > error;
    return true;
}

static bool channel_thresholds(const Layer *l, const Sliced *p, uint32_t o, uint64_t *out,
                               size_t unit, size_t lane, size_t lanes) {
    size_t at = 0;
    for (uint32_t k = 1; k <= (has_memory(l) ? l->steps : 1); k++) {
        double th;
        if (!threshold_of(l, o, k, p->kept[o][0], p->kept[o][1], &th)) return false;
        uint64_t bits = ~(uint64_t)th;
        for (uint32_t j = 0; j < p->planes + k; j++, at++)
            for (size_t w = 0; w < lanes; w++)
                out[at * unit + lane + w] = -(bits >> j & 1);
    }
    return true;
}

static bool plan_thresholds(Layer *l, Sliced *p) {
    const size_t lanes = (size_t)l->k->words;
    if (!on_planes(l)) return true;
    const uint32_t steps = has_memory(l) ? l->steps : 1;
    p->thresholds = steps * p->planes + steps * (steps + 1) / 2;
    p->group = p->tile < lanes ? (uint32_t)(lanes / p->tile) : 0;
    const size_t groups = p->group ? (l->y.cout + p->group - 1) / p->group : l->y.cout;
    const size_t unit = p->group ? lanes : 1;
    p->threshold = calloc(groups * p->thresholds * unit, 8);
    if (!p->threshold) return false;
    l->memory += groups * p->thresholds * unit * 8;
    for (uint32_t o = 0; o < l->y.cout; o++) {
        size_t g = p->group ? o / p->group : o, lane = p->group ? o % p->group * p->tile : 0;
        p->exact[o] = !channel_thresholds(l, p, o, p->threshold + g * p->thresholds * unit, unit, lane,
                                          p->group ? p->tile : 1);
    }
    return true;
}

static void finish_rows(const Layer *l, Sliced *p) {
    for (size_t o = 0; o < l->y.cout; o++)
        p->rows[o].start = (1u << p->planes) - 1 - p->kept[o][0];
}

bool bitsliced_plan(Layer *l) {
    const Synapse *y = &l->y;
    const size_t lanes = (size_t)l->k->words, taps = (size_t)y->kh * y->kw;
    Sliced *p = calloc(1, sizeof *p);
    if (!p) return false;
    l->plan = p;
    l->free_plan = sliced_free;
    l->run = sliced_run;
    plan_geometry(l, p);
    p->phase = calloc(taps, sizeof *p->phase);
    p->shift = calloc(taps, sizeof *p->shift);
    p->mask = calloc(taps * p->taps.mask_words, 8);
    p->rows = calloc(y->cout, sizeof *p->rows);
    p->kept = calloc(y->cout, sizeof *p->kept);
    p->start = calloc(y->cout, sizeof *p->start);
    p->offset = calloc(y->cout, sizeof *p->offset);
    p->scale = calloc(y->cout, sizeof *p->scale);
    p->exact = calloc(y->cout, sizeof *p->exact);
    if (!p->phase || !p->shift || !p->mask || !p->rows || !p->kept || !p->start || !p->offset ||
        !p->scale || !p->exact)
        return false;
    plan_taps(l, p);
    p->taps.phase = p->phase;
    p->taps.shift = p->shift;
    p->taps.mask = p->mask;
    const uint64_t entries = plan_lists(l, p, NULL);
    l->memory = entries * 2 + taps * p->taps.mask_words * 8 + (uint64_t)y->cout * 40;
    p->list = malloc((size_t)entries * sizeof *p->list + 1);
    if (!p->list) return false;
    plan_lists(l, p, p->list);
    if (!plan_thresholds(l, p)) return false;
    finish_rows(l, p);
    p->at_in = carve(&l->scratch.shared, (uint64_t)p->taps.channel * y->cin * 8);
    p->at_slab = carve(&l->scratch.own, (uint64_t)(y->cin * taps + 1) * lanes * 8);
    p->at_counters = carve(&l->scratch.own, (uint64_t)p->counter * p->planes * y->cout * 8);
    p->at_spikes = carve(&l->scratch.shared, (uint64_t)y->cout * l->steps * p->words * 8);
    p->at_group = carve(&l->scratch.own, (uint64_t)y->s * p->planes * lanes * 8);
    p->at_float = carve(&l->scratch.own, (uint64_t)y->s * p->tile * 64 * 4);
    l->phases = l->fires && tiles_of(p) > 1 ? 3 : 2;
    l->units[0] = y->cin;
    l->units[1] = tiles_of(p) * groups_of(l, p);
    l->units[2] = y->cout;
    return l->memory <= MAX_MEMORY && scratch_fits(&l->scratch);
}
