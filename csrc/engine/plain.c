/* Every op on its own, in the order of the format's definition. Inputs are read as float, which
 * holds every whole number that the loader lets through exactly.
 *
 * Most ops do their channels one by one, whatever the others do: a unit is one channel, of
 * attention one head. The others are one unit. */
#include "net.h"

#include "bits.h"

#include <math.h>

typedef struct {
    const st_net *net;
    const uint32_t *w;
    const Reg *in[3], *out;
    const void *data[3];
    size_t first, last; /* the channels to do */
    float *x[3]; /* room for the inputs as float */
    float *room; /* room for the output as float */
    void *to;
} Plain;

static const float *floats(const Plain *p, int k) {
    if (p->in[k]->kind == KIND_F32) return p->data[k];
    channels_to_float(p->net->k, p->in[k], p->data[k], p->first, p->last, p->x[k]);
    return p->x[k];
}

static void pack_spikes(const Plain *p, const float *x) {
    const Reg *r = p->out;
    const size_t n = positions(r), words = words_of(n), channel = r->s * words;
    memset((uint64_t *)p->to + p->first * channel, 0, (p->last - p->first) * channel * 8);
    for (size_t s = 0; s < r->s; s++)
        for (size_t c = p->first; c < p->last; c++) {
            const float *from = x + (s * r->c + c) * n;
            uint64_t *o = (uint64_t *)p->to + (c * r->s + s) * words;
            for (size_t i = 0; i < n; i++) o[i / 64] |= (uint64_t)(from[i] != 0) << i % 64;
        }
}

/* Where an op writes its output as float, and how it gets to its place from there. */
static float *floats_out(const Plain *p) { return p->out->kind == KIND_F32 ? p->to : p->room; }

static void pack(const Plain *p) {
    const Reg *r = p->out;
    const size_t n = positions(r);
    if (r->kind == KIND_SPK) pack_spikes(p, p->room);
    if (r->kind != KIND_INT) return;
    for (size_t s = 0; s < r->s; s++)
        for (size_t i = (s * r->c + p->first) * n; i < (s * r->c + p->last) * n; i++)
            ((uint16_t *)p->to)[i] = (uint16_t)p->room[i];
}

static void add_into(const Plain *p, float *z) {
    const Reg *a = p->in[0], *b = p->in[1];
    const float *x = floats(p, 0), *y = floats(p, 1);
    const size_t n = positions(a), step = (size_t)a->c * n, s = a->s > b->s ? a->s : b->s;
    for (size_t t = 0; t < s; t++) {
        const float *xt = a->s == 1 ? x : x + t * step, *yt = b->s == 1 ? y : y + t * step;
        for (size_t i = p->first * n; i < p->last * n; i++) z[t * step + i] = xt[i] + yt[i];
    }
}

static void op_add(const Plain *p) {
    add_into(p, floats_out(p));
    pack(p);
}

static void op_neuron(const Plain *p) {
    const st_net *net = p->net;
    const Reg *out = p->out;
    const Neuron n = {.kind = p->w[5], .charge = p->w[6], .soft = p->w[7],
                      .decay = as_float(p->w[8]), .tau = as_float(p->w[9]),
                      .v_threshold = as_float(p->w[10]), .v_reset = as_float(p->w[11]),
                      .v_rest = as_float(p->w[12])};
    const float *z = p->room;
    size_t s = p->in[0]->s;
    if (p->in[1]) {
        add_into(p, p->room);
        if (p->in[1]->s > s) s = p->in[1]->s;
    } else {
        z = floats(p, 0);
    }
    const size_t m = positions(out), words = words_of(m);
    if (n.kind <= NEURON_STEP) {
        for (size_t c = p->first; c < p->last; c++)
            net->k->fire(z + c * m, s == 1 ? 0 : out->c * m, out->s, m, &n,
                         (uint64_t *)p->to + c * out->s * words, words);
        return;
    }
    float *to = p->to;
    for (size_t t = 0; t < out->s; t++)
        for (size_t i = (t * out->c + p->first) * m; i < (t * out->c + p->last) * m; i++)
            if (n.kind == NEURON_RELU) to[i] = z[i] < 0 ? 0 : z[i];
            else to[i] = z[i] >= 0 ? 1.0f : -1.0f;
}

static float largest_of(const float *x, const Pool *q, size_t yo, size_t xo) {
    float best = -INFINITY;
    for (size_t ky = 0; ky < q->k; ky++) {
        const int64_t y = (int64_t)(yo * q->stride + ky) - q->pad;
        if (y < 0 || y >= q->h) continue;
        for (size_t kx = 0; kx < q->k; kx++) {
            const int64_t at = (int64_t)(xo * q->stride + kx) - q->pad;
            if (at >= 0 && at < q->w && x[y * q->w + at] > best) best = x[y * q->w + at];
        }
    }
    return best;
}

static void op_maxpool(const Plain *p) {
    const Reg *in = p->in[0], *out = p->out;
    const Pool q = {.k = p->w[5], .stride = p->w[6], .pad = p->w[7], .h = in->h, .w = in->w,
                    .ho = out->h, .wo = out->w};
    const size_t n = positions(in), m = positions(out);
    if (in->kind == KIND_SPK) {
        const size_t from = p->first * in->s, to = p->last * in->s;
        memset((uint64_t *)p->to + from * words_of(m), 0, (to - from) * words_of(m) * 8);
        for (size_t i = from; i < to; i++)
            p->net->k->pool((const uint64_t *)p->data[0] + i * words_of(n), &q,
                            (uint64_t *)p->to + i * words_of(m));
        return;
    }
    const float *x = floats(p, 0);
    float *z = floats_out(p);
    for (size_t s = 0; s < in->s; s++)
        for (size_t i = s * in->c + p->first; i < s * in->c + p->last; i++)
            for (size_t y = 0; y < q.ho; y++)
                for (size_t c = 0; c < q.wo; c++)
                    z[i * m + y * q.wo + c] = largest_of(x + i * n, &q, y, c);
    pack(p);
}

static void op_mean(const Plain *p) {
    const Reg *in = p->in[0], *out = p->out;
    const float *x = floats(p, 0);
    float *to = p->to;
    const size_t n = positions(in), m = positions(out), steps = in->s / out->s, spread = n / m;
    const float count = (float)(steps * spread);
    for (size_t s = 0; s < out->s; s++)
        for (size_t c = p->first; c < p->last; c++)
            for (size_t i = 0; i < m; i++) {
                float sum = 0;
                double whole = 0;
                for (size_t t = s * steps; t < (s + 1) * steps; t++)
                    for (size_t j = 0; j < spread; j++) {
                        const float v = x[(t * in->c + c) * n + (m == 1 ? j : i)];
                        sum += v, whole += v;
                    }
                if (in->kind != KIND_F32) sum = (float)whole;
                to[(s * in->c + c) * m + i] = sum / count;
            }
}

/* q (k^T v): the same whole numbers as (q k^T) v, in less work where tokens outnumber a head.
 * Without k and v as float they are spikes. */
static void attend(const Plain *p, const float *const x[3], size_t s, size_t c) {
    enum { SOME = 64 };
    const Reg *r = p->out;
    const Kernels *run = p->net->k;
    const float *q = x[0], *k = x[1], *v = x[2], scale = as_float(p->w[6]);
    const size_t n = positions(r), words = words_of(n), head = r->c / p->w[5];
    const size_t row = s * r->c + c, first = row - c % head;
    const uint64_t *const key = p->data[1], *const value = p->data[2];
    float *o = (float *)p->to + row * n;
    memset(o, 0, n * sizeof *o);
    for (size_t done = 0; done < head; done += SOME) {
        const size_t count = head - done < SOME ? head - done : SOME, e = first + done;
        float weights[SOME] = {0};
        if (!k)
            run->overlaps(key + (e % r->c * r->s + s) * words, r->s * words, count,
                          value + (c * r->s + s) * words, words, weights);
        else
            for (size_t j = 0; j < count; j++)
                for (size_t i = 0; i < n; i++) weights[j] += k[(e + j) * n + i] * v[row * n + i];
        run->mix(weights, count, q + e * n, n, o, n);
    }
    for (size_t i = 0; i < n; i++) o[i] = scale * o[i];
}

static void op_attention(const Plain *p) {
    const bool bits = p->in[1]->kind == KIND_SPK && p->in[2]->kind == KIND_SPK;
    const float *const x[3] = {floats(p, 0), bits ? NULL : floats(p, 1), bits ? NULL : floats(p, 2)};
    for (size_t s = 0; s < p->out->s; s++)
        for (size_t c = p->first; c < p->last; c++) attend(p, x, s, c);
}

static void op_tokensum(const Plain *p) {
    const float *k = floats(p, 0), *v = floats(p, 1), scale = as_float(p->w[5]);
    const Reg *r = p->out;
    const size_t n = positions(p->in[0]);
    for (size_t s = 0; s < r->s; s++)
        for (size_t row = s * r->c + p->first; row < s * r->c + p->last; row++) {
            float sum = 0;
            for (size_t i = row * n; i < (row + 1) * n; i++) sum += k[i] * v[i];
            ((float *)p->to)[row] = scale * sum;
        }
}

static void op_mask(const Plain *p) {
    const Reg *r = p->out;
    const float *x = floats(p, 0), *m = floats(p, 1);
    float *z = floats_out(p);
    const size_t n = positions(r), few = positions(p->in[1]);
    for (size_t s = 0; s < r->s; s++)
        for (size_t i = (s * r->c + p->first) * n; i < (s * r->c + p->last) * n; i++) {
            const size_t at = few == 1 ? i / n : i;
            z[i] = m[at] != 0 ? x[i] : 0;
        }
    pack(p);
}

static void score_rate(const Reg *r, const float *x, float *to) {
    const size_t n = positions(r), rows = (size_t)r->s * r->c;
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        double whole = 0;
        for (size_t row = 0; row < rows; row++) sum += x[row * n + i], whole += x[row * n + i];
        if (r->kind != KIND_F32) sum = (float)whole;
        to[i] = sum / (float)rows;
    }
}

static void score_norm(const Reg *r, const float *x, float *to) {
    const size_t n = positions(r), step = r->c * n;
    for (size_t i = 0; i < n; i++) {
        float squares = 0;
        for (size_t c = 0; c < r->c; c++) {
            float sum = 0;
            for (size_t s = 0; s < r->s; s++) sum += x[s * step + c * n + i];
            const float mean = sum / (float)r->s;
            squares += mean * mean;
        }
        to[i] = sqrtf(squares);
    }
}

static void score_pairs(const Reg *r, bool columns, const float *x, const float *y, float *to) {
    const size_t n = positions(r), rows = (size_t)r->s * r->c;
    memset(to, 0, n * sizeof *to);
    for (size_t row = 0; row < rows; row++) {
        const float *a = x + row * n, *b = y + row * n;
        float sum = 0;
        for (size_t i = 0; i < n; i++) sum += a[i];
        for (size_t i = 0; i < n; i++) to[i] += columns ? b[i] * sum : a[i] * b[i];
    }
}

static float mean_of(const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    return (float)(sum / (double)n);
}

/* Squared deviations from the mean of their channel and step, averaged over the steps, summed over
 * the channels, averaged over each patch. */
static void score_energy(const Reg *r, const float *x, uint32_t rows, uint32_t columns,
                         float *means, float *to) {
    const size_t n = positions(r), h = r->h / rows, w = r->w / columns;
    for (size_t i = 0; i < (size_t)r->s * r->c; i++) means[i] = mean_of(x + i * n, n);
    for (size_t patch = 0; patch < (size_t)rows * columns; patch++) {
        float all = 0;
        for (size_t y = 0; y < h; y++)
            for (size_t c = 0; c < w; c++) {
                const size_t at = (patch / columns * h + y) * r->w + patch % columns * w + c;
                float pixel = 0;
                for (size_t channel = 0; channel < r->c; channel++) {
                    float sum = 0;
                    for (size_t s = 0; s < r->s; s++) {
                        const float d = x[(s * r->c + channel) * n + at] - means[s * r->c + channel];
                        sum += d * d;
                    }
                    pixel += sum / (float)r->s;
                }
                all += pixel;
            }
        to[patch] = all / (float)(h * w);
    }
}

static void op_score(const Plain *p) {
    const uint32_t kind = p->w[5];
    const float *x = floats(p, 0);
    const Reg *r = p->in[0];
    switch (kind) {
    case SCORE_RATE: score_rate(r, x, p->to); break;
    case SCORE_NORM: score_norm(r, x, p->to); break;
    case SCORE_ENERGY: score_energy(r, x, p->w[6], p->w[7], p->room, p->to); break;
    default: score_pairs(r, kind == SCORE_COLUMNS, x, floats(p, 1), p->to);
    }
}

/* Whether score a ranks before score b; a number before what is not one. */
static bool before(float a, float b) { return a > b || (isnan(b) && !isnan(a)); }

static bool worse(const float *x, int32_t a, int32_t b) {
    return before(x[b], x[a]) || (!before(x[a], x[b]) && a > b);
}

/* A heap with the worst of those kept on top: the smallest score, of equals the latest. */
static void sift(const float *x, int32_t *heap, size_t n, size_t i) {
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) return;
        if (child + 1 < n && worse(x, heap[child + 1], heap[child])) child++;
        if (!worse(x, heap[child], heap[i])) return;
        const int32_t up = heap[child];
        heap[child] = heap[i];
        heap[i] = up;
        i = child;
    }
}

static void op_topk(const Plain *p) {
    const float *x = p->data[0];
    const size_t n = positions(p->in[0]), k = p->out->w;
    int32_t *ids = p->to;
    uint8_t *chosen = (uint8_t *)p->room;
    memset(chosen, 0, n);
    for (size_t i = 0; i < k; i++) ids[i] = (int32_t)i;
    for (size_t i = k; i-- > 0;) sift(x, ids, k, i);
    for (size_t i = k; i < n; i++)
        if (before(x[i], x[ids[0]])) {
            ids[0] = (int32_t)i;
            sift(x, ids, k, 0);
        }
    for (size_t i = 0; i < k; i++) chosen[ids[i]] = 1;
    for (size_t i = 0, at = 0; i < n; i++)
        if (chosen[i]) ids[at++] = (int32_t)i;
}

static void op_gather(const Plain *p) {
    const Reg *r = p->out;
    const float *x = floats(p, 0);
    const int32_t *ids = p->data[1];
    float *z = floats_out(p);
    const size_t n = positions(p->in[0]);
    for (size_t s = 0; s < r->s; s++)
        for (size_t row = s * r->c + p->first; row < s * r->c + p->last; row++)
            for (size_t i = 0; i < r->w; i++) z[row * r->w + i] = x[row * n + (size_t)ids[i]];
    pack(p);
}

static void op_constids(const Plain *p) {
    memcpy(p->to, array_at(&p->net->p, p->w[6], p->out->w), p->out->w * sizeof(int32_t));
}

static void keep_patches(const Plain *p, size_t plane) {
    const Reg *r = p->out;
    const int32_t *ids = p->data[1];
    const size_t rows = p->w[5], columns = p->w[6], h = r->h / rows, w = r->w / columns;
    memset((float *)p->to + plane * positions(r), 0, positions(r) * sizeof(float));
    for (size_t i = 0; i < p->in[1]->w; i++)
        for (size_t y = 0; y < h; y++) {
            const size_t id = (size_t)ids[i], row = id / columns * h + y;
            const size_t at = (plane * r->h + row) * r->w + id % columns * w;
            memcpy((float *)p->to + at, (const float *)p->data[0] + at, w * sizeof(float));
        }
}

static void op_zerofill(const Plain *p) {
    for (size_t s = 0; s < p->out->s; s++)
        for (size_t c = p->first; c < p->last; c++) keep_patches(p, s * p->out->c + c);
}

static bool by_channels(uint32_t opcode) {
    return opcode != OP_SCORE && opcode != OP_TOPK && opcode != OP_CONSTIDS;
}

static void run_plain(const st_net *net, const Step *step, const Context *c, const Share *share) {
    static void (*const ops[OP_COUNT])(const Plain *) = {
        [OP_NEURON] = op_neuron, [OP_MAXPOOL] = op_maxpool, [OP_ADD] = op_add, [OP_MEAN] = op_mean,
        [OP_ATTENTION] = op_attention, [OP_TOKENSUM] = op_tokensum, [OP_MASK] = op_mask,
        [OP_SCORE] = op_score, [OP_TOPK] = op_topk, [OP_GATHER] = op_gather,
        [OP_CONSTIDS] = op_constids, [OP_ZEROFILL] = op_zerofill};
    Plain p = {.net = net, .w = op_words(&net->p, step->first), .out = &net->p.regs[step->out],
               .to = reg_out(net, c, step->out)};
    size_t at = 0;
    for (int k = 0; k < 3; k++) {
        if (step->in[k] == NONE) continue;
        p.in[k] = &net->p.regs[step->in[k]];
        p.data[k] = reg_in(net, c, step->in[k]);
        p.x[k] = (float *)(void *)(share->shared + at);
        if (p.in[k]->kind != KIND_F32) at += round_up(reg_values(p.in[k]) * 4, ALIGN) + SLACK;
    }
    p.room = (float *)(void *)(share->shared + at);
    const size_t unit = p.w[0] == OP_ATTENTION ? p.out->c / p.w[5] : 1;
    p.first = share->first * unit, p.last = share->last * unit;
    if (!by_channels(p.w[0])) p.first = 0, p.last = p.in[0] ? p.in[0]->c : 1;
    ops[p.w[0]](&p);
}

/* The output as float, or as much as the largest input, lies behind the inputs as float. */
void plan_plain(const st_net *net, Step *step) {
    const Program *p = &net->p;
    const uint32_t *w = op_words(p, step->first);
    const Reg *out = &p->regs[w[1]];
    uint64_t bytes = SLACK, most = reg_values(out);
    for (int k = 2; k < 5; k++) {
        if (w[k] == NONE) continue;
        const uint64_t values = reg_values(&p->regs[w[k]]);
        bytes += round_up((size_t)values * 4, ALIGN) + SLACK;
        if (values > most) most = values;
    }
    step->run = run_plain;
    step->kernel = "plain";
    step->phases = 1;
    step->units[0] = !by_channels(w[0]) ? 1 : w[0] == OP_ATTENTION ? w[5] : out->c;
    step->scratch.shared = bytes + most * 4;
}
