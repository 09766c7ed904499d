/* What each op reads and writes: kinds and shapes, as the format defines them. */
#include "internal.h"

#include <inttypes.h>
#include <math.h>

typedef struct {
    Program *p;
    uint32_t i;
    const uint32_t *w;
    const Reg *in[3]; /* NULL where not given */
    Reg out;
    const Error *e;
} Op;

static bool refuse(const Op *o, const char *what) {
    return fail(o->e, "op %u (%s): %s", o->i, op_name(o->w[0]), what);
}

static bool spikes_or_whole(const Reg *r) { return r->kind == KIND_SPK || r->kind == KIND_INT; }
static bool values(const Reg *r) { return r->kind == KIND_F32 || spikes_or_whole(r); }

static bool finite_array(const Op *o, uint32_t offset, uint64_t count, const char *name) {
    const float *x = array_at(o->p, offset, count);
    if (!x) return fail(o->e, "op %u (%s): %s lies outside the data", o->i, op_name(o->w[0]), name);
    for (uint64_t k = 0; k < count; k++)
        if (!isfinite(x[k]))
            return fail(o->e, "op %u (%s): %s[%" PRIu64 "] is not a finite number", o->i,
                        op_name(o->w[0]), name, k);
    return true;
}

/* Every input that is given must be the same at every step or have the same number of steps. */
static bool steps_agree(const Op *o, const Reg *a, const Reg *b, uint32_t *s) {
    if (a->s != b->s && a->s != 1 && b->s != 1) return refuse(o, "the inputs differ in steps");
    *s = a->s > b->s ? a->s : b->s;
    return true;
}

static bool same_shape(const Reg *a, const Reg *b) {
    return a->c == b->c && a->h == b->h && a->w == b->w;
}

static bool count_kept(const Op *o, uint64_t rows, uint64_t row, uint64_t most) {
    uint64_t bytes = (rows * row + 7) / 8;
    bytes = (bytes + 3) / 4 * 4;
    const uint8_t *keep = array_at(o->p, o->w[13], bytes / 2);
    if (!keep) return refuse(o, "the weights lie outside the data");
    for (uint64_t k = 0; k < bytes; k++)
        if (keep[bytes + k] & ~keep[k]) return refuse(o, "a dropped weight has a sign");
    for (uint64_t k = rows * row; k < 8 * bytes; k++)
        if (kept_bit(keep, k)) return refuse(o, "there are more weights than the shape has");
    if (!most) return true;
    for (uint64_t r = 0, k = 0; r < rows; r++) {
        uint64_t kept = 0;
        for (uint64_t end = k + row; k < end; k++) kept += kept_bit(keep, k);
        if (kept * most > EXACT_FLOAT) return refuse(o, "a sum may pass 2^24");
    }
    return true;
}

static bool synapse_arrays(const Op *o, uint64_t rows, uint64_t row, uint32_t most) {
    const uint32_t *w = o->w;
    if (w[11] > 1) return refuse(o, "unknown kind of weights");
    if (w[11] == 0 && !isfinite(as_float(w[12]))) return refuse(o, "alpha is not finite");
    if (w[11] == 0 ? !count_kept(o, rows, row, most)
                   : !finite_array(o, w[13], rows * row, "weights"))
        return false;
    if (w[14] != NONE && !finite_array(o, w[14], rows, "bias")) return false;
    if ((w[15] == NONE) != (w[16] == NONE)) return refuse(o, "a and b come together");
    return w[15] == NONE ||
           (finite_array(o, w[15], rows, "a") && finite_array(o, w[16], rows, "b"));
}

static bool synapse(Op *o) {
    const uint32_t *w = o->w;
    const Reg *in = o->in[0];
    if (!in || !values(in)) return refuse(o, "needs numbers as input");
    if (w[10] > 1) return refuse(o, "flatten must be 0 or 1");
    uint64_t cin = in->c, h = in->h, wd = in->w;
    if (w[10]) cin *= h * wd, h = wd = 1;
    for (int k = 5; k < 9; k++)
        if (w[k] < 1 || w[k] > 65536)
            return refuse(o, "cout, kernel and stride must be in 1..65536");
    if (w[9] > 65536) return refuse(o, "the padding must be in 0..65536");
    uint64_t row = cin * w[6] * w[7]; /* at most 2^24 * 2^32 */
    if (row > 1u << 28 || row * w[5] > 1u << 28) return refuse(o, "more than 2^28 weights");
    if (h + 2 * (uint64_t)w[9] < w[6] || wd + 2 * (uint64_t)w[9] < w[7])
        return refuse(o, "the kernel is larger than the padded input");
    if (!synapse_arrays(o, w[5], row, spikes_or_whole(in) ? in->most : 0)) return false;
    uint64_t ho = (h + 2 * (uint64_t)w[9] - w[6]) / w[8] + 1;
    uint64_t wo = (wd + 2 * (uint64_t)w[9] - w[7]) / w[8] + 1;
    if (ho > 65536 || wo > 65536) return refuse(o, "the output is too large");
    if (w[17] < 1 || w[17] > ho || w[17] > wo) return refuse(o, "no such window to pool");
    o->out = (Reg){.kind = KIND_F32,
                   .s = in->s,
                   .c = w[5],
                   .h = (uint32_t)(ho / w[17]),
                   .w = (uint32_t)(wo / w[17])};
    return true;
}

static bool neuron_parameters(const Op *o) {
    const uint32_t *w = o->w;
    if (w[5] > NEURON_SIGN) return refuse(o, "unknown kind of neuron");
    if (w[6] > 4 || w[7] > 1) return refuse(o, "unknown charge or reset");
    if (w[13] > 1 || w[14] > 1 || w[15] > 1 || (w[14] && w[15]))
        return refuse(o, "unknown kind of firing or reset");
    if (w[5] != NEURON_LIF && (w[13] || w[14] || w[15]))
        return refuse(o, "a neuron without a membrane has no reset");
    for (int k = 8; k < 13; k++)
        if (!isfinite(as_float(w[k]))) return refuse(o, "a parameter is not a finite number");
    if (w[5] == NEURON_LIF && (w[6] == 1 || w[6] == 2) && as_float(w[9]) == 0)
        return refuse(o, "tau must not be 0");
    return true;
}

static bool neuron(Op *o) {
    const Reg *x = o->in[0], *y = o->in[1];
    if (!x || !values(x)) return refuse(o, "needs numbers as input");
    if (!neuron_parameters(o)) return false;
    uint32_t s = x->s;
    if (y) {
        if (!values(y) || !same_shape(x, y) || !steps_agree(o, x, y, &s))
            return refuse(o, "the two inputs do not fit each other");
    }
    o->out = (Reg){.kind = o->w[5] <= NEURON_STEP ? KIND_SPK : KIND_F32,
                   .s = s,
                   .c = x->c,
                   .h = x->h,
                   .w = x->w,
                   .most = 1};
    if (o->w[5] == NEURON_LIF) {
        uint32_t T = o->p->head.T;
        if (s != 1 && s != T) return refuse(o, "the input must have 1 or T steps");
        o->out.s = T;
    }
    return true;
}

static bool maxpool(Op *o) {
    const Reg *x = o->in[0];
    uint32_t k = o->w[5], stride = o->w[6], pad = o->w[7];
    if (!x || !values(x)) return refuse(o, "needs numbers as input");
    if (k < 1 || k > 65536 || stride < 1 || stride > 65536 || pad > k / 2)
        return refuse(o, "k and stride must be in 1..65536, the padding at most k/2");
    uint64_t h = (uint64_t)x->h + 2 * pad, w = (uint64_t)x->w + 2 * pad;
    if (h < k || w < k) return refuse(o, "the window is larger than the padded input");
    o->out = *x;
    o->out.h = (uint32_t)((h - k) / stride + 1);
    o->out.w = (uint32_t)((w - k) / stride + 1);
    return true;
}

static bool add(Op *o) {
    const Reg *x = o->in[0], *y = o->in[1];
    uint32_t s = 1;
    if (!x || !y || !values(x) || !values(y) || !same_shape(x, y))
        return refuse(o, "needs two inputs of one shape");
    if (!steps_agree(o, x, y, &s)) return false;
    o->out = *x;
    o->out.s = s;
    o->out.kind = KIND_F32;
    if (spikes_or_whole(x) && spikes_or_whole(y)) {
        if (x->most + y->most > 65535) return refuse(o, "a sum may pass 65535");
        o->out.kind = KIND_INT;
        o->out.most = x->most + y->most;
    }
    return true;
}

static bool mean(Op *o) {
    const Reg *x = o->in[0];
    if (!x || !values(x)) return refuse(o, "needs numbers as input");
    if (o->w[5] > 1 || o->w[6] > 1) return refuse(o, "its parameters must be 0 or 1");
    o->out = *x;
    o->out.kind = KIND_F32;
    if (o->w[5]) o->out.s = 1;
    if (o->w[6]) o->out.h = o->out.w = 1;
    return true;
}

static bool same_steps_and_shape(const Reg *a, const Reg *b) {
    return a && b && a->s == b->s && same_shape(a, b);
}

static bool attention(Op *o) {
    const Reg *q = o->in[0], *k = o->in[1], *v = o->in[2];
    uint32_t heads = o->w[5];
    if (!same_steps_and_shape(q, k) || !same_steps_and_shape(q, v) || !spikes_or_whole(q) ||
        !spikes_or_whole(k) || !spikes_or_whole(v))
        return refuse(o, "needs q, k and v, spikes of one shape");
    if (heads < 1 || q->c % heads) return refuse(o, "the heads do not divide the channels");
    if (!isfinite(as_float(o->w[6]))) return refuse(o, "the scale is not finite");
    uint64_t most = (uint64_t)q->most * k->most; /* < 2^32 */
    if (most && v->most && positions(q) * (uint64_t)(q->c / heads) > EXACT_FLOAT / most / v->most)
        return refuse(o, "a sum may pass 2^24");
    o->out = *q;
    o->out.kind = KIND_F32;
    return true;
}

static bool tokensum(Op *o) {
    const Reg *k = o->in[0], *v = o->in[1];
    if (!same_steps_and_shape(k, v) || !spikes_or_whole(k) || !spikes_or_whole(v))
        return refuse(o, "needs k and v, spikes of one shape");
    if (!isfinite(as_float(o->w[5]))) return refuse(o, "the scale is not finite");
    uint64_t most = (uint64_t)k->most * v->most;
    if (most && positions(k) > EXACT_FLOAT / most) return refuse(o, "a sum may pass 2^24");
    o->out = *k;
    o->out.kind = KIND_F32;
    o->out.h = o->out.w = 1;
    return true;
}

static bool mask(Op *o) {
    const Reg *x = o->in[0], *m = o->in[1];
    if (!x || !m || !values(x) || m->kind != KIND_SPK || x->s != m->s || x->c != m->c ||
        (positions(m) != 1 && !same_shape(x, m)))
        return refuse(o, "needs numbers and spikes that fit them");
    o->out = *x;
    return true;
}

static bool score_inputs(const Op *o, uint32_t kind) {
    const Reg *x = o->in[0], *y = o->in[1];
    if (kind == SCORE_COLUMNS || kind == SCORE_PRODUCT) {
        if (!same_steps_and_shape(x, y) || !spikes_or_whole(x) || !spikes_or_whole(y))
            return refuse(o, "needs two inputs, spikes of one shape");
        uint64_t most = (uint64_t)x->most * y->most * (kind == SCORE_COLUMNS ? positions(x) : 1);
        if (most && (uint64_t)x->s * x->c > EXACT_FLOAT / most)
            return refuse(o, "a sum may pass 2^24");
        return true;
    }
    if (!x || !values(x)) return refuse(o, "needs numbers as input");
    if (kind != SCORE_ENERGY) return true;
    if (x->kind != KIND_F32) return refuse(o, "needs a float image");
    uint32_t rows = o->w[6], columns = o->w[7];
    if (rows < 1 || columns < 1 || x->h % rows || x->w % columns)
        return refuse(o, "the grid does not divide the image");
    return true;
}

static bool score(Op *o) {
    uint32_t kind = o->w[5];
    if (kind > SCORE_ENERGY) return refuse(o, "unknown kind of score");
    if (!score_inputs(o, kind)) return false;
    o->out = (Reg){.kind = KIND_F32, .s = 1, .c = 1, .h = o->in[0]->h, .w = o->in[0]->w};
    if (kind == SCORE_ENERGY) o->out.h = o->w[6], o->out.w = o->w[7];
    return true;
}

static bool topk(Op *o) {
    const Reg *x = o->in[0];
    if (!x || x->kind != KIND_F32 || x->s != 1 || x->c != 1) return refuse(o, "needs scores");
    if (o->w[5] < 1 || o->w[5] > positions(x) || o->w[5] > 65536)
        return refuse(o, "k must be in 1..tokens");
    o->out = (Reg){
        .kind = KIND_IDS, .s = 1, .c = 1, .h = 1, .w = o->w[5], .tokens = (uint32_t)positions(x)};
    return true;
}

static bool gather(Op *o) {
    const Reg *x = o->in[0], *ids = o->in[1];
    if (!x || !values(x) || !ids || ids->kind != KIND_IDS || ids->tokens != positions(x))
        return refuse(o, "needs numbers and ids of their positions");
    o->out = *x;
    o->out.h = 1;
    o->out.w = ids->w;
    return true;
}

static bool constids(Op *o) {
    uint32_t k = o->w[5], tokens = o->w[7];
    if (k < 1 || k > 65536 || tokens > 1u << 24) return refuse(o, "k must be in 1..65536");
    const uint32_t *ids = array_at(o->p, o->w[6], k);
    if (!ids) return refuse(o, "the ids lie outside the data");
    for (uint32_t j = 0; j < k; j++)
        if (ids[j] >= tokens || (j && ids[j] <= ids[j - 1]))
            return refuse(o, "the ids must ascend and be smaller than the number of tokens");
    o->out = (Reg){.kind = KIND_IDS, .s = 1, .c = 1, .h = 1, .w = k, .tokens = tokens};
    return true;
}

static bool zerofill(Op *o) {
    const Reg *x = o->in[0], *ids = o->in[1];
    uint32_t rows = o->w[5], columns = o->w[6];
    if (!x || x->kind != KIND_F32 || !ids || ids->kind != KIND_IDS)
        return refuse(o, "needs a float image and ids");
    if (rows < 1 || columns < 1 || x->h % rows || x->w % columns ||
        ids->tokens != (uint64_t)rows * columns)
        return refuse(o, "the grid does not divide the image");
    o->out = *x;
    return true;
}

static bool leak(Op *o) {
    const Reg *x = o->in[0];
    const uint32_t T = o->p->head.T;
    if (!x || !values(x)) return refuse(o, "needs numbers as input");
    if (o->w[5] > 1) return refuse(o, "unknown form");
    if (!isfinite(as_float(o->w[6]))) return refuse(o, "a parameter is not a finite number");
    if (x->s != 1 && x->s != T) return refuse(o, "the input must have 1 or T steps");
    o->out = (Reg){.kind = KIND_F32, .s = T, .c = x->c, .h = x->h, .w = x->w};
    return true;
}

static bool concat(Op *o) {
    const Reg *x = o->in[0];
    if (!x || !o->in[1]) return refuse(o, "needs two or three inputs");
    uint64_t channels = 0;
    uint32_t steps = 1, most = 0;
    bool spikes = true, whole = true;
    for (int k = 0; k < 3; k++) {
        const Reg *r = o->in[k];
        if (!r) continue;
        if (!values(r) || r->h != x->h || r->w != x->w ||
            (r->s != 1 && steps != 1 && r->s != steps))
            return refuse(o, "the inputs do not fit each other");
        if (r->s > steps) steps = r->s;
        if (r->most > most) most = r->most;
        channels += r->c;
        spikes = spikes && r->kind == KIND_SPK;
        whole = whole && spikes_or_whole(r);
    }
    if (channels > 65536) return refuse(o, "the output is too large");
    o->out = (Reg){.kind = spikes  ? KIND_SPK
                           : whole ? KIND_INT
                                   : KIND_F32,
                   .s = steps,
                   .c = (uint32_t)channels,
                   .h = x->h,
                   .w = x->w,
                   .most = whole ? most : 0};
    return true;
}

static const struct {
    bool (*infer)(Op *);
    int inputs;
} rules[OP_COUNT] = {
    [OP_SYNAPSE] = {synapse, 1},   [OP_NEURON] = {neuron, 2}, [OP_MAXPOOL] = {maxpool, 1},
    [OP_ADD] = {add, 2},           [OP_MEAN] = {mean, 1},     [OP_ATTENTION] = {attention, 3},
    [OP_TOKENSUM] = {tokensum, 2}, [OP_MASK] = {mask, 2},     [OP_SCORE] = {score, 2},
    [OP_TOPK] = {topk, 1},         [OP_GATHER] = {gather, 2}, [OP_CONSTIDS] = {constids, 0},
    [OP_ZEROFILL] = {zerofill, 2}, [OP_LEAK] = {leak, 1},     [OP_CONCAT] = {concat, 3}};

bool infer_op(Program *p, uint32_t i, const Error *e) {
    Op o = {.p = p, .i = i, .w = op_words(p, i), .e = e};
    if (o.w[0] == 0 || o.w[0] >= OP_COUNT) return fail(e, "op %u: unknown opcode %u", i, o.w[0]);
    for (int k = 0; k < 3; k++) {
        uint32_t r = o.w[2 + k];
        if (r == NONE) continue;
        if (k >= rules[o.w[0]].inputs) return refuse(&o, "has too many inputs");
        if (r >= p->head.regs || p->regs[r].kind == KIND_NONE)
            return refuse(&o, "reads a register that was not written");
        o.in[k] = &p->regs[r];
    }
    if (o.w[1] >= p->head.regs || p->regs[o.w[1]].kind != KIND_NONE)
        return refuse(&o, "must write a register that was not written before");
    if (!rules[o.w[0]].infer(&o)) return false;
    const Reg *out = &o.out;
    uint64_t plane = (uint64_t)out->h * out->w;
    if (out->c > 65536 || plane > 1u << 24 || plane * out->c > 1u << 24 ||
        plane * out->c * out->s > 1u << 28)
        return refuse(&o, "the output has more than 2^24 values a step");
    p->regs[o.w[1]] = o.out;
    return true;
}
