/* A layer with float weights on spikes or small whole numbers. For every step and position the
 * weights of the inputs that are not zero are added up, in the order of the definition. A zero adds
 * nothing, so that the sums are the same to the bit; where many inputs are not zero, zeros are
 * added too, a tile of positions at a time. */
#include "net.h"

#include <stdlib.h>

enum { CHUNK = 4 * TILE_PLACES }; /* places whose sums are turned over together */

/* Fraction of inputs that are not zero from about which a tile is faster: on Zen 3 a net takes as
 * long with 0.25 and with 0.6. */
static const double DENSE = 0.5;
static const uint64_t MOST_READERS = (uint64_t)1 << 24, MOST_TILES = MAX_MEMORY / 8;

/* A place that reads an input position, and the tap through which it does. */
typedef struct {
    uint32_t place, tap;
} Reader;

typedef struct {
    float *weights;  /* [cout / EVENT_OUTPUTS, rounded up][inputs][EVENT_OUTPUTS] */
    uint32_t *first; /* [positions + 1]: of each input position in; NULL: pointwise */
    Reader *readers;
    size_t step;                                            /* places of a step */
    size_t inputs;                                          /* of a place: cin*kh*kw */
    size_t taps;                                            /* inputs of a channel */
    bool pointwise, tiled;                                  /* tiled: there is room for tiles */
    size_t at_count, at_ids, at_values, at_dense, at_tiles; /* shared */
    size_t at_sums, at_room;                                /* own */
} Events;

static void events_free(void *plan) {
    Events *e = plan;
    if (!e) return;
    free(e->weights);
    free(e->first);
    free(e->readers);
    free(e);
}

/* The inputs of every place that are not zero; or, of steps where most are not, all of them. */
typedef struct {
    uint32_t *count;
    uint16_t *ids;
    float *values;  /* NULL: all are one */
    uint8_t *dense; /* by step: in tiles */
    float *tiles;   /* [step][tile][input][TILE_PLACES] */
} Found;

static Found found_in(const Layer *l, uint8_t *shared) {
    const Events *e = l->plan;
    return (Found){(uint32_t *)(void *)(shared + e->at_count),
                   (uint16_t *)(void *)(shared + e->at_ids),
                   l->in.kind == KIND_INT ? (float *)(void *)(shared + e->at_values) : NULL,
                   shared + e->at_dense, (float *)(void *)(shared + e->at_tiles)};
}

static size_t tiles_of(const Events *e) { return (e->step + TILE_PLACES - 1) / TILE_PLACES; }

static float *tile_at(const Events *e, const Found *f, size_t s, size_t tile) {
    return f->tiles + (s * tiles_of(e) + tile) * e->inputs * TILE_PLACES;
}

static inline void put_input(const Events *e, const Found *f, size_t place, size_t id,
                             float value) {
    const size_t at = place * e->inputs + f->count[place]++;
    f->ids[at] = (uint16_t)id;
    if (f->values) f->values[at] = value;
}

static inline void add_input(const Events *e, const Found *f, size_t s, size_t c, size_t p,
                             float value) {
    if (e->pointwise) {
        put_input(e, f, s * e->step + p, c, value);
        return;
    }
    const Reader *end = e->readers + e->first[p + 1];
    for (const Reader *r = e->readers + e->first[p]; r < end; r++)
        put_input(e, f, s * e->step + r->place, c * e->taps + r->tap, value);
}

/* In the order of the definition: positions in order reach a place through its taps in order. */
static void list_step(const Layer *l, const void *in, const Found *f, size_t s) {
    const Events *e = l->plan;
    const size_t n = positions(&l->in), words = words_of(n);
    memset(f->count + s * e->step, 0, e->step * sizeof *f->count);
    for (size_t c = 0; c < l->in.c; c++) {
        if (l->in.kind == KIND_INT) {
            const uint16_t *x = (const uint16_t *)in + (s * l->in.c + c) * n;
            for (size_t p = 0; p < n; p++)
                if (x[p]) add_input(e, f, s, c, p, x[p]);
            continue;
        }
        const uint64_t *x = (const uint64_t *)in + (c * l->in.s + s) * words;
        for (size_t w = 0; w < words; w++)
            for (uint64_t left = x[w]; left; left &= left - 1)
                add_input(e, f, s, c, 64 * w + (size_t)__builtin_ctzll(left), 1);
    }
}

/* Inputs of a step that are not zero. */
static size_t fired(const Layer *l, const void *in, size_t s) {
    const size_t n = positions(&l->in), words = words_of(n);
    size_t sum = 0;
    if (l->in.kind == KIND_INT) {
        const uint16_t *x = (const uint16_t *)in + s * l->in.c * n;
        for (size_t i = 0; i < l->in.c * n; i++) sum += x[i] != 0;
        return sum;
    }
    for (size_t c = 0; c < l->in.c; c++) {
        const uint64_t *x = (const uint64_t *)in + (c * l->in.s + s) * words;
        for (size_t w = 0; w < words; w++) sum += (size_t)__builtin_popcountll(x[w]);
    }
    return sum;
}

/* Of a pointwise layer, whose inputs are the channels. */
static void tile_step(const Layer *l, const void *in, const Found *f, size_t s) {
    const Events *e = l->plan;
    const size_t n = e->step, words = words_of(n);
    for (size_t c = 0; c < l->in.c; c++) {
        const uint16_t *x = (const uint16_t *)in + (s * l->in.c + c) * n;
        const uint64_t *bits = (const uint64_t *)in + (c * l->in.s + s) * words;
        for (size_t p = 0; p < tiles_of(e) * TILE_PLACES; p++) {
            float value = 0;
            if (p < n) value = f->values ? (float)x[p] : (float)(bits[p / 64] >> p % 64 & 1);
            tile_at(e, f, s, p / TILE_PLACES)[c * TILE_PLACES + p % TILE_PLACES] = value;
        }
    }
}

static void collect(const Layer *l, const void *in, const Share *share) {
    const Events *e = l->plan;
    const Found f = found_in(l, share->shared);
    const double enough = DENSE * (double)(l->in.c * positions(&l->in));
    for (size_t s = share->first; s < share->last; s++) {
        f.dense[s] = e->tiled && (double)fired(l, in, s) >= enough;
        if (f.dense[s]) tile_step(l, in, &f, s);
        else list_step(l, in, &f, s);
    }
}

/* The lists of up to TILE_PLACES places as a tile. */
static void fill_tile(const Events *e, const Found *f, size_t first, size_t places, float *tile) {
    memset(tile, 0, e->inputs * TILE_PLACES * sizeof *tile);
    for (size_t j = 0; j < places; j++) {
        const size_t at = (first + j) * e->inputs;
        for (size_t k = at; k < at + f->count[first + j]; k++)
            tile[f->ids[k] * TILE_PLACES + j] = f->values ? f->values[k] : 1;
    }
}

static bool is_dense(const Events *e, const Found *f, size_t first, size_t places) {
    size_t sum = 0;
    for (size_t j = 0; j < places; j++) sum += f->count[first + j];
    return (double)sum >= DENSE * (double)(e->inputs * TILE_PLACES);
}

/* Sums of one block of outputs at up to CHUNK places of a step, from place `from` of it on. */
static void sum_chunk(const Layer *l, const Found *f, size_t s, size_t from, size_t count,
                      const float *weights, size_t outputs, float *room,
                      float (*sums)[EVENT_OUTPUTS]) {
    const Events *e = l->plan;
    const float *x[CHUNK / TILE_PLACES];
    float *to[CHUNK / TILE_PLACES];
    size_t tiles = 0;
    for (size_t j = 0; j < count; j += TILE_PLACES) {
        const size_t place = s * e->step + from + j;
        const size_t some = count - j < TILE_PLACES ? count - j : TILE_PLACES;
        if (f->dense[s]) {
            x[tiles] = tile_at(e, f, s, (from + j) / TILE_PLACES);
            to[tiles++] = sums[j];
        } else if (is_dense(e, f, place, some)) {
            float *tile = room + tiles * e->inputs * TILE_PLACES;
            fill_tile(e, f, place, some, tile);
            x[tiles] = tile;
            to[tiles++] = sums[j];
        } else {
            for (size_t i = 0; i < some; i++) {
                const size_t at = (place + i) * e->inputs;
                l->k->events(f->ids + at, f->values ? f->values + at : NULL, f->count[place + i],
                             weights, sums[j + i]);
            }
        }
    }
    l->k->tiles(x, tiles, e->inputs, weights, outputs, to);
}

/* First a unit is a step, then EVENT_OUTPUTS outputs. */
static void events_run(const Layer *l, const void *in, void *out, const Share *share) {
    const Events *e = l->plan;
    const Synapse *y = &l->y;
    if (share->phase == 0) {
        collect(l, in, share);
        return;
    }
    const Found f = found_in(l, share->shared);
    float *sums = (float *)(void *)(share->own + e->at_sums);
    float *room = (float *)(void *)(share->own + e->at_room);
    const size_t places = y->s * e->step;
    for (size_t block = share->first; block < share->last; block++) {
        const uint32_t first = (uint32_t)block * EVENT_OUTPUTS, left = y->cout - first;
        const uint32_t some = left < EVENT_OUTPUTS ? left : EVENT_OUTPUTS;
        for (size_t s = 0; s < y->s; s++)
            for (size_t at = 0; at < e->step; at += CHUNK) {
                const size_t count = e->step - at < CHUNK ? e->step - at : CHUNK;
                float chunk[CHUNK][EVENT_OUTPUTS];
                sum_chunk(l, &f, s, at, count, e->weights + (size_t)first * e->inputs, some, room,
                          chunk);
                for (uint32_t o = 0; o < some; o++)
                    for (size_t j = 0; j < count; j++)
                        sums[o * places + s * e->step + at + j] = chunk[j][o];
            }
        for (uint32_t o = 0; o < some; o++)
            layer_emit(l, first + o, sums + o * places, e->step, y->alpha, out, share);
    }
}

/* At most; taps that lie outside read nothing. */
static uint64_t readers_of(const Layer *l) {
    const Synapse *y = &l->y;
    if (y->flatten) return positions(&l->in);
    const uint64_t down = (uint64_t)y->ho * y->kh, right = (uint64_t)y->wo * y->kw;
    return down > MOST_READERS || right > MOST_READERS ? MOST_READERS + 1 : down * right;
}

/* Count them by position in `first`, or put them to where it says. */
static void each_reader(const Layer *l, Events *e, bool put) {
    const Synapse *y = &l->y;
    for (size_t yo = 0; yo < y->ho; yo++)
        for (size_t ky = 0; ky < y->kh; ky++) {
            const int64_t row = (int64_t)(yo * y->stride + ky) - y->pad;
            if (row < 0 || row >= y->h) continue;
            for (size_t xo = 0; xo < y->wo; xo++)
                for (size_t kx = 0; kx < y->kw; kx++) {
                    const int64_t col = (int64_t)(xo * y->stride + kx) - y->pad;
                    if (col < 0 || col >= y->w) continue;
                    uint32_t *at = &e->first[row * y->w + col + !put];
                    if (put)
                        e->readers[*at] =
                            (Reader){(uint32_t)(yo * y->wo + xo), (uint32_t)(ky * y->kw + kx)};
                    ++*at;
                }
        }
}

/* A flattened input has one place, and its positions are its taps. */
static bool find_readers(const Layer *l, Events *e, size_t count) {
    const size_t n = positions(&l->in);
    e->first = calloc(n + 2, sizeof *e->first);
    e->readers = calloc(count + 1, sizeof *e->readers);
    if (!e->first || !e->readers) return false;
    if (l->y.flatten) {
        for (size_t p = 0; p < n; p++) e->readers[p].tap = (uint32_t)p;
        for (size_t p = 0; p <= n; p++) e->first[p] = (uint32_t)p;
        return true;
    }
    each_reader(l, e, false);
    for (size_t p = 0; p < n; p++) e->first[p + 1] += e->first[p];
    each_reader(l, e, true); /* each start has moved to the next one's */
    memmove(e->first + 1, e->first, n * sizeof *e->first);
    e->first[0] = 0;
    return true;
}

bool events_fit(const Layer *l) {
    const Synapse *y = &l->y;
    return !y->ternary && (l->in.kind == KIND_SPK || l->in.kind == KIND_INT) &&
           (!y->flatten || (y->kh * y->kw == 1 && y->pad == 0)) &&
           (uint64_t)y->cin * y->kh * y->kw <= 65536 && readers_of(l) <= MOST_READERS;
}

static bool copy_weights(const Synapse *y, Events *e, size_t outputs) {
    e->weights = calloc(outputs * e->inputs, sizeof *e->weights);
    if (!e->weights) return false;
    for (size_t o = 0; o < y->cout; o++)
        for (size_t c = 0; c < e->inputs; c++)
            e->weights[(o / EVENT_OUTPUTS * e->inputs + c) * EVENT_OUTPUTS + o % EVENT_OUTPUTS] =
                y->weights[o * e->inputs + c];
    return true;
}

bool events_plan(Layer *l) {
    const Synapse *y = &l->y;
    Events *e = calloc(1, sizeof *e);
    if (!e) return false;
    l->plan = e;
    l->free_plan = events_free;
    l->run = events_run;
    e->step = (size_t)y->ho * y->wo;
    e->taps = y->flatten ? positions(&l->in) : (size_t)y->kh * y->kw;
    e->inputs = (size_t)y->cin * y->kh * y->kw;
    e->pointwise = !y->flatten && y->kh * y->kw == 1 && y->stride == 1 && y->pad == 0;
    const uint64_t places = (uint64_t)y->s * e->step;
    if (places > MAX_MEMORY) return false;
    const uint64_t inputs = places * e->inputs, tile = (uint64_t)e->inputs * TILE_PLACES * 4;
    e->at_count = carve(&l->scratch.shared, places * 4);
    e->at_ids = carve(&l->scratch.shared, inputs * 2);
    e->at_values = carve(&l->scratch.shared, l->in.kind == KIND_INT ? inputs * 4 : 0);
    e->at_dense = carve(&l->scratch.shared, y->s);
    e->at_sums = carve(&l->scratch.own, places * EVENT_OUTPUTS * 4);
    e->at_room = carve(&l->scratch.own, CHUNK / TILE_PLACES * tile);
    Scratch more = l->scratch;
    e->at_tiles = carve(&more.shared, y->s * tiles_of(e) * tile);
    e->tiled = e->pointwise && scratch_fits(&more) && more.shared - l->scratch.shared <= MOST_TILES;
    if (e->tiled) l->scratch = more;
    const uint64_t outputs =
        ((uint64_t)y->cout + EVENT_OUTPUTS - 1) / EVENT_OUTPUTS * EVENT_OUTPUTS;
    const uint64_t readers = e->pointwise ? 0 : readers_of(l);
    l->memory = outputs * e->inputs * 4;
    if (!e->pointwise) l->memory += readers * sizeof(Reader) + positions(&l->in) * 4;
    l->phases = 2;
    l->units[0] = y->s;
    l->units[1] = (size_t)(outputs / EVENT_OUTPUTS);
    if (l->memory > MAX_MEMORY || !scratch_fits(&l->scratch)) return false;
    return (e->pointwise || find_readers(l, e, (size_t)readers)) &&
           copy_weights(y, e, (size_t)outputs);
}
