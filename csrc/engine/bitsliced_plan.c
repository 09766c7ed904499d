/* Plans a layer for bitsliced.c: where planes and counters lie, lists of weights, thresholds.
 *
 * Neuron on planes. With g = alpha*a > 0 and y = bias*a + b, the membrane k steps after the last
 * spike is g*m + y*(2 - 2^(1-k)), m = sum of n[t-j] / 2^j over these k steps. It reaches the
 * threshold where m >= (v_threshold - y*(2 - 2^(1-k))) / g: one whole number of 2^(1-k) for each
 * k. The definition rounds every operation to float32; where a reachable m is nearer to the real
 * threshold than all this rounding can move it, the channel takes the float path instead. */
#include "bitsliced.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_WORDS = 65535, TILE_BYTES = 256 << 10 }; /* a list counts in words of the slab */

static void sliced_free(void *plan) {
    Sliced *p = plan;
    if (!p) return;
    void *parts[] = {p->phase, p->shift,  p->mask,  p->rows,  p->kept,      p->list,
                     p->start, p->offset, p->scale, p->exact, p->threshold, p};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
}

static bool on_planes(const Layer *l) {
    const Neuron *n = &l->neuron;
    if (!l->fires || l->steps > PLANE_STEPS || l->carries) return false;
    return n->kind == NEURON_STEP ||
           (n->charge == 0 && !n->soft && !n->strict && !n->late && !n->keep && n->decay == 0.5f &&
            n->v_reset == 0 && n->v_rest == 0);
}

/* 2x2 windows that lie inside of a word, of a map without a rest. */
static bool windows_fit(const Synapse *y) {
    return y->pool == 1 || (y->pool == 2 && y->stride == 1 && y->w == y->wo && y->wo <= 32 &&
                            (y->wo & (y->wo - 1)) == 0 && y->wo > 1 && y->ho % 2 == 0);
}

bool bitsliced_fits(const Layer *l) {
    const Synapse *y = &l->y;
    uint64_t inputs = (uint64_t)y->cin * y->kh * y->kw;
    return l->in.kind == KIND_SPK && y->ternary && !y->flatten && y->stride <= 4 &&
           windows_fit(y) && inputs * (uint64_t)l->k->words <= MOST_WORDS &&
           inputs < 1u << MAX_PLANES && y->pad <= 64 && y->kh <= 64 && y->kw <= 64 &&
           (uint64_t)y->ho * y->wo <= 1u << 20;
}

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
    if (p->words > lanes && all > TILE_BYTES && y->pool == 1) {
        size_t fit = TILE_BYTES / ((size_t)y->cout * y->s * 16 * 8);
        p->tile = fit < lanes ? lanes : fit / lanes * lanes;
        if (p->tile > p->words) p->tile = p->words;
    }
    p->flat = round_up(p->tile * y->s, lanes);
    p->counter = p->flat;
    p->out.pitch = p->pitch, p->out.words = p->words;
    p->out.tile = p->tile, p->out.counter = p->counter;
    if (y->pool > 1) {
        p->out.pitch = y->wide;
        p->out.words = p->out.tile = words_of(out_positions(l));
        p->out.counter = round_up(p->out.tile * y->s, lanes);
    }
    const size_t padded = round_up(p->words, p->tile) + lanes;
    p->taps = (Taps){.channels = y->cin,
                     .taps = (size_t)y->kh * y->kw,
                     .steps = y->s,
                     .tile = p->tile,
                     .mask_words = padded,
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
                if (!kept_bit(y->keep, k) || (kept_bit(y->sign, k) != flip) != (side == 1))
                    continue;
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
            for (size_t w = 0; w < lanes; w++) out[at * unit + lane + w] = -(bits >> j & 1);
    }
    return true;
}

static bool plan_thresholds(Layer *l, Sliced *p) {
    const size_t lanes = (size_t)l->k->words;
    if (!on_planes(l)) return true;
    const uint32_t steps = has_memory(l) ? l->steps : 1;
    p->thresholds = steps * p->planes + steps * (steps + 1) / 2;
    const size_t tile = p->out.tile;
    p->group = tile < lanes ? (uint32_t)(lanes / tile) : 0;
    const size_t groups = p->group ? (l->y.cout + p->group - 1) / p->group : l->y.cout;
    const size_t unit = p->group ? lanes : 1;
    p->threshold = calloc(groups * p->thresholds * unit, 8);
    if (!p->threshold) return false;
    l->memory += groups * p->thresholds * unit * 8;
    for (uint32_t o = 0; o < l->y.cout; o++) {
        size_t g = p->group ? o / p->group : o, lane = p->group ? o % p->group * tile : 0;
        p->exact[o] = !channel_thresholds(l, p, o, p->threshold + g * p->thresholds * unit, unit,
                                          lane, p->group ? tile : 1);
    }
    return true;
}

static void finish_rows(const Layer *l, Sliced *p) {
    for (size_t o = 0; o < l->y.cout; o++) p->rows[o].start = (1u << p->planes) - 1 - p->kept[o][0];
}

bool bitsliced_plan(Layer *l) {
    const Synapse *y = &l->y;
    const size_t lanes = (size_t)l->k->words, taps = (size_t)y->kh * y->kw;
    Sliced *p = calloc(1, sizeof *p);
    if (!p) return false;
    l->plan = p;
    l->free_plan = sliced_free;
    l->run = bitsliced_run;
    plan_geometry(l, p);
    l->room = p->out.words * 64;
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
    p->at_pooled = y->pool == 1
                       ? p->at_counters
                       : carve(&l->scratch.own, (uint64_t)p->out.counter * p->planes * y->cout * 8);
    p->at_spikes = carve(&l->scratch.shared, (uint64_t)y->cout * l->steps * p->out.words * 8);
    p->at_group = carve(&l->scratch.own, (uint64_t)y->s * p->planes * lanes * 8);
    p->at_float = carve(&l->scratch.own, (uint64_t)y->s * p->out.tile * 64 * 4);
    l->phases = l->fires && tiles_of(p) > 1 ? 3 : 2;
    l->units[0] = y->cin;
    l->units[1] = tiles_of(p) * groups_of(l, p);
    l->units[2] = y->cout;
    return l->memory <= MAX_MEMORY && scratch_fits(&l->scratch);
}
