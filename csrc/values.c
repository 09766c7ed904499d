#include "net.h"

/* [s][c][position] of any register as float. */
void reg_to_float(const Reg *r, const void *data, float *out) {
    size_t n = reg_values(r), p = positions(r), words = words_of(p);
    if (r->kind == KIND_F32) memcpy(out, data, n * sizeof *out);
    if (r->kind == KIND_INT)
        for (size_t i = 0; i < n; i++) out[i] = ((const uint16_t *)data)[i];
    if (r->kind == KIND_IDS)
        for (size_t i = 0; i < r->w; i++) out[i] = (float)((const int32_t *)data)[i];
    if (r->kind != KIND_SPK) return;
    for (size_t s = 0; s < r->s; s++)
        for (size_t c = 0; c < r->c; c++) {
            const uint64_t *w = (const uint64_t *)data + (c * r->s + s) * words;
            float *o = out + (s * r->c + c) * p;
            for (size_t i = 0; i < p; i++) o[i] = (float)(w[i / 64] >> i % 64 & 1);
        }
}
