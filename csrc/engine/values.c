#include "net.h"

static void spikes_to_float(const Kernels *k, const Reg *r, const uint64_t *spikes, size_t first,
                            size_t last, float *out) {
    const size_t p = positions(r), words = words_of(p);
    for (size_t s = 0; s < r->s; s++)
        for (size_t c = first; c < last; c++)
            k->unpack(spikes + (c * r->s + s) * words, out + (s * r->c + c) * p, p);
}

/* [s][c][position] of any register as float. */
void channels_to_float(const Kernels *k, const Reg *r, const void *data, size_t first, size_t last,
                       float *out) {
    const size_t p = positions(r), n = (last - first) * p;
    if (r->kind == KIND_SPK) spikes_to_float(k, r, data, first, last, out);
    if (r->kind == KIND_IDS)
        for (size_t i = 0; i < r->w; i++) out[i] = (float)((const int32_t *)data)[i];
    if (r->kind != KIND_F32 && r->kind != KIND_INT) return;
    for (size_t s = 0; s < r->s; s++) {
        const size_t at = (s * r->c + first) * p;
        if (r->kind == KIND_F32) memcpy(out + at, (const float *)data + at, n * sizeof *out);
        else
            for (size_t i = at; i < at + n; i++) out[i] = ((const uint16_t *)data)[i];
    }
}

void reg_to_float(const Kernels *k, const Reg *r, const void *data, float *out) {
    channels_to_float(k, r, data, 0, r->c, out);
}
