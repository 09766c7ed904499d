#include "internal.h"

const void *array_at(const Program *p, uint32_t offset, uint64_t count) {
    uint64_t at = (uint64_t)p->head.data_offset + offset;
    if (offset == NONE || offset % 4 || at > p->head.total || count > (p->head.total - at) / 4)
        return NULL;
    return p->bytes + at;
}

static const void *optional(const Program *p, uint32_t offset, uint64_t count) {
    return offset == NONE ? NULL : array_at(p, offset, count);
}

Synapse synapse_of(const Program *p, uint32_t i) {
    const uint32_t *w = op_words(p, i);
    const Reg *in = &p->regs[w[2]], *out = &p->regs[w[1]];
    Synapse y = {.cin = in->c,
                 .h = in->h,
                 .w = in->w,
                 .cout = w[5],
                 .kh = w[6],
                 .kw = w[7],
                 .stride = w[8],
                 .pad = w[9],
                 .flatten = w[10] != 0,
                 .ternary = w[11] == 0,
                 .alpha = as_float(w[12]),
                 .pool = w[17],
                 .high = out->h,
                 .wide = out->w,
                 .s = in->s};
    if (y.flatten) {
        y.cin = (uint32_t)(in->c * positions(in));
        y.h = y.w = 1;
    }
    y.ho = (y.h + 2 * y.pad - y.kh) / y.stride + 1;
    y.wo = (y.w + 2 * y.pad - y.kw) / y.stride + 1;
    uint64_t count = (uint64_t)y.cout * y.cin * y.kh * y.kw;
    if (y.ternary) {
        uint64_t bytes = round_up((size_t)((count + 7) / 8), 4);
        y.keep = array_at(p, w[13], 2 * bytes / 4);
        y.sign = y.keep + bytes;
        for (uint64_t j = 0; j < bytes; j++) y.kept += (uint64_t)__builtin_popcount(y.keep[j]);
    } else {
        y.weights = array_at(p, w[13], count);
        for (uint64_t j = 0; j < count; j++) y.kept += y.weights[j] != 0;
    }
    y.bias = optional(p, w[14], y.cout);
    y.a = optional(p, w[15], y.cout);
    y.b = optional(p, w[16], y.cout);
    return y;
}

Neuron neuron_of(const Program *p, uint32_t i) {
    const uint32_t *w = op_words(p, i);
    return (Neuron){.kind = w[5],
                    .charge = w[6],
                    .soft = w[7],
                    .decay = as_float(w[8]),
                    .tau = as_float(w[9]),
                    .v_threshold = as_float(w[10]),
                    .v_reset = as_float(w[11]),
                    .v_rest = as_float(w[12]),
                    .strict = w[13],
                    .late = w[14],
                    .keep = w[15]};
}
