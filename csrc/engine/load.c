/* Reads a program. Whatever the bytes say, nothing outside them is touched, and every size is
 * computed in 64 bits from numbers that were bounded before. */
#include "internal.h"

#include <stdlib.h>

enum { HEADER_BYTES = 64, OP_BYTES = 128 };

static bool dimensions_fit(const Header *h, const Error *e) {
    const uint32_t dims[] = {h->channels, h->height, h->width, h->classes};
    for (int i = 0; i < 4; i++)
        if (dims[i] < 1 || dims[i] > 65536)
            return fail(e, "header: a dimension must be in 1..65536 (got %u)", dims[i]);
    if (h->T < 1 || h->T > MAX_STEPS) return fail(e, "header: T must be in 1..32 (got %u)", h->T);
    if (h->frames != 1 && h->frames != h->T)
        return fail(e, "header: frames must be 1 or T (got %u)", h->frames);
    uint64_t image = (uint64_t)h->channels * h->height * h->width;
    if (image > 1u << 24 || image * h->frames > 1u << 28)
        return fail(e, "header: the input has more than 2^24 values an image");
    return true;
}

static bool header_read(Program *p, const uint8_t *bytes, size_t size, const Error *e) {
    uint32_t w[16];
    if (size < HEADER_BYTES) return fail(e, "the program is cut off in its header");
    memcpy(w, bytes, sizeof w);
    if (w[0] != 0x31505453) return fail(e, "not a program: the first four bytes are not STP1");
    if (w[1] != ST_PROGRAM_VERSION)
        return fail(e, "program version %u; this library reads version %d", w[1],
                    ST_PROGRAM_VERSION);
    Header h = {.total = w[2],
                .T = w[3],
                .frames = w[4],
                .channels = w[5],
                .height = w[6],
                .width = w[7],
                .classes = w[8],
                .regs = w[9],
                .ops = w[10],
                .ops_offset = w[11],
                .data_offset = w[12],
                .lut_offset = w[14]};
    if (size > 0x7fffffff || h.total != size)
        return fail(e, "the header says %u bytes, the program has %zu", h.total, size);
    if (w[13] || w[15]) return fail(e, "header: flags and the last word must be 0");
    if (!dimensions_fit(&h, e)) return false;
    if (h.regs < 2 || h.regs > 65536 || h.ops < 1 || h.ops > 65536)
        return fail(e, "header: needs 2..65536 registers and 1..65536 ops (got %u, %u)", h.regs,
                    h.ops);
    if (h.ops_offset % 4 || h.ops_offset < HEADER_BYTES ||
        h.ops_offset + (uint64_t)h.ops * OP_BYTES > h.total)
        return fail(e, "header: the ops lie outside the program");
    if (h.data_offset % 16 || h.data_offset < HEADER_BYTES || h.data_offset > h.total)
        return fail(e, "header: the data lies outside the program");
    p->head = h;
    return true;
}

static bool output_fits(const Program *p, const Error *e) {
    uint32_t last = op_words(p, p->head.ops - 1)[1];
    const Reg *r = &p->regs[last];
    if (r->kind != KIND_F32 || r->s != 1 || r->c != p->head.classes || r->h != 1 || r->w != 1)
        return fail(e, "the last op must write float logits [1,%u,1,1]", p->head.classes);
    return true;
}

bool program_infer(Program *p, const Error *e) {
    p->regs[0] = (Reg){.kind = KIND_F32,
                       .s = p->head.frames,
                       .c = p->head.channels,
                       .h = p->head.height,
                       .w = p->head.width};
    for (uint32_t r = 0; r < p->head.regs; r++) p->last_use[r] = p->head.ops;
    for (uint32_t i = 0; i < p->head.ops; i++) {
        if (!infer_op(p, i, e)) return false;
        for (int k = 2; k < 5; k++) {
            uint32_t in = op_words(p, i)[k];
            if (in != NONE) p->last_use[in] = i;
        }
    }
    return output_fits(p, e);
}

bool program_load(Program *p, const void *bytes, size_t size, const Error *e) {
    *p = (Program){0};
    if (!header_read(p, bytes, size, e)) return false;
    p->bytes = malloc(size);
    p->regs = calloc(p->head.regs, sizeof *p->regs);
    p->last_use = calloc(p->head.regs, sizeof *p->last_use);
    if (!p->bytes || !p->regs || !p->last_use) {
        program_free(p);
        return fail(e, "no memory for a program of %zu bytes", size);
    }
    memcpy(p->bytes, bytes, size);
    p->steps = p->head.T;
    p->frames = p->head.frames;
    bool good = true;
    if (p->head.lut_offset != NONE) {
        p->lut = array_at(p, p->head.lut_offset, (uint64_t)256 * p->head.channels);
        if (!p->lut) good = fail(e, "header: the table of byte values lies outside the data");
    }
    good = good && program_infer(p, e);
    if (!good) program_free(p);
    return good;
}

void program_free(Program *p) {
    free(p->bytes);
    free(p->regs);
    free(p->last_use);
    free(p->role);
    *p = (Program){0};
}
