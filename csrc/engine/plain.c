/* Every op on its own, in the order of the format's definition. Inputs are read as float, which
 * holds every whole number that the loader lets through exactly.
 *
 * Most ops do their channels one by one, whatever the others do: a unit is one channel, of
 * attention one head. The others are one unit. */
#include "plain.h"

#include <math.h>

const float *plain_in(const Plain *p, int k) {
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

float *plain_out(const Plain *p) { return p->out->kind == KIND_F32 ? p->to : p->room; }

void plain_pack(const Plain *p) {
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
    const float *x = plain_in(p, 0), *y = plain_in(p, 1);
    const size_t n = positions(a), step = (size_t)a->c * n, s = a->s > b->s ? a->s : b->s;
    for (size_t t = 0; t < s; t++) {
        const float *xt = a->s == 1 ? x : x + t * step, *yt = b->s == 1 ? y : y + t * step;
        for (size_t i = p->first * n; i < p->last * n; i++) z[t * step + i] = xt[i] + yt[i];
    }
}

static void op_add(const Plain *p) {
    add_into(p, plain_out(p));
    plain_pack(p);
}

static void op_neuron(const Plain *p) {
    const st_net *net = p->net;
    const Reg *out = p->out;
    const Neuron n = neuron_of(&net->p, p->op);
    const float *z = p->room;
    size_t s = p->in[0]->s;
    if (p->in[1]) {
        add_into(p, p->room);
        if (p->in[1]->s > s) s = p->in[1]->s;
    } else {
        z = plain_in(p, 0);
    }
    const size_t m = positions(out), words = words_of(m);
    if (n.kind <= NEURON_STEP) {
        for (size_t c = p->first; c < p->last; c++) {
            Membranes carried = {NULL, NULL};
            if (p->state && n.kind == NEURON_LIF) carried.v = (float *)(void *)p->state + c * m;
            if (carried.v && n.late) carried.fired = carried.v + out->c * m;
            net->k->fire(z + c * m, s == 1 ? 0 : out->c * m, out->s, m, &n,
                         (uint64_t *)p->to + c * out->s * words, words, carried);
        }
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
    const Pool q = {.k = p->w[5],
                    .stride = p->w[6],
                    .pad = p->w[7],
                    .h = in->h,
                    .w = in->w,
                    .ho = out->h,
                    .wo = out->w};
    const size_t n = positions(in), m = positions(out);
    if (in->kind == KIND_SPK) {
        const size_t from = p->first * in->s, to = p->last * in->s;
        memset((uint64_t *)p->to + from * words_of(m), 0, (to - from) * words_of(m) * 8);
        for (size_t i = from; i < to; i++)
            p->net->k->pool((const uint64_t *)p->data[0] + i * words_of(n), &q,
                            (uint64_t *)p->to + i * words_of(m));
        return;
    }
    const float *x = plain_in(p, 0);
    float *z = plain_out(p);
    for (size_t s = 0; s < in->s; s++)
        for (size_t i = s * in->c + p->first; i < s * in->c + p->last; i++)
            for (size_t y = 0; y < q.ho; y++)
                for (size_t c = 0; c < q.wo; c++)
                    z[i * m + y * q.wo + c] = largest_of(x + i * n, &q, y, c);
    plain_pack(p);
}

static void op_mean(const Plain *p) {
    const Reg *in = p->in[0], *out = p->out;
    const float *x = plain_in(p, 0);
    float *to = p->to;
    const size_t n = positions(in), m = positions(out), steps = in->s / out->s, spread = n / m;
    const float count = (float)((steps + (p->total ? p->before : 0)) * spread);
    for (size_t s = 0; s < out->s; s++)
        for (size_t c = p->first; c < p->last; c++)
            for (size_t i = 0; i < m; i++) {
                double *far = p->total ? (double *)(void *)p->state + c * m + i : NULL;
                double whole = far ? *far : 0;
                float sum = (float)whole; /* of float numbers it was one */
                for (size_t t = s * steps; t < (s + 1) * steps; t++)
                    for (size_t j = 0; j < spread; j++) {
                        const float v = x[(t * in->c + c) * n + (m == 1 ? j : i)];
                        sum += v, whole += v;
                    }
                if (far) *far = in->kind == KIND_F32 ? (double)sum : whole;
                if (in->kind != KIND_F32) sum = (float)whole;
                to[(s * in->c + c) * m + i] = sum / count;
            }
}

static void op_leak(const Plain *p) {
    const Reg *in = p->in[0], *out = p->out;
    const bool own = p->w[5] != 0;
    const float rate = as_float(p->w[6]), *x = plain_in(p, 0);
    float *to = p->to;
    const size_t n = positions(out), step = out->c * n;
    for (size_t t = 0; t < out->s; t++)
        for (size_t i = p->first * n; i < p->last * n; i++) {
            float *carried = p->state ? (float *)(void *)p->state + i : NULL;
            const float before = t ? to[(t - 1) * step + i] : carried ? *carried : 0;
            const float kept = own ? before + rate * before : before * rate;
            to[t * step + i] = kept + x[(in->s == 1 ? 0 : t * step) + i];
            if (carried) *carried = to[t * step + i];
        }
}

/* Registers of other channels than its own: one unit does them all. */
static void op_concat(const Plain *p) {
    const Reg *out = p->out;
    float *to = plain_out(p);
    const size_t n = positions(out);
    for (size_t k = 0, at = 0; k < 3; k++) {
        const Reg *r = p->in[k];
        if (!r) continue;
        const float *x = p->data[k];
        if (r->kind != KIND_F32) {
            channels_to_float(p->net->k, r, p->data[k], 0, r->c, p->x[k]);
            x = p->x[k];
        }
        const size_t values = r->c * n;
        for (size_t t = 0; t < out->s; t++)
            memcpy(to + (t * out->c + at) * n, x + (r->s == 1 ? 0 : t) * values, values * 4);
        at += r->c;
    }
    Plain all = *p;
    all.first = 0, all.last = out->c;
    plain_pack(&all);
}

static bool by_channels(uint32_t opcode) {
    return opcode != OP_SCORE && opcode != OP_TOPK && opcode != OP_CONSTIDS && opcode != OP_CONCAT;
}

static void run_plain(const st_net *net, const Step *step, const Context *c, const Share *share) {
    static void (*const ops[OP_COUNT])(const Plain *) = {
        [OP_NEURON] = op_neuron, [OP_MAXPOOL] = op_maxpool,     [OP_ADD] = op_add,
        [OP_MEAN] = op_mean,     [OP_ATTENTION] = op_attention, [OP_TOKENSUM] = op_tokensum,
        [OP_MASK] = op_mask,     [OP_SCORE] = op_score,         [OP_TOPK] = op_topk,
        [OP_GATHER] = op_gather, [OP_CONSTIDS] = op_constids,   [OP_ZEROFILL] = op_zerofill,
        [OP_LEAK] = op_leak,     [OP_CONCAT] = op_concat};
    Plain p = {.net = net,
               .op = step->first,
               .w = op_words(&net->p, step->first),
               .out = &net->p.regs[step->out],
               .to = reg_out(net, c, step->out),
               .state = share->state,
               .before = c->before,
               .total = step->total};
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
