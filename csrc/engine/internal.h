/* What the parts of the engine share. Nothing here is exported. */
#ifndef ST_INTERNAL_H
#define ST_INTERNAL_H

#include "spiketicket_engine.h"

#include <stdbool.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "programs are little endian, and so must be the processor"
#endif

#define NONE 0xffffffffu
#define MAX_STEPS 32
#define MAX_MEMORY ((uint64_t)1 << 31)
#define EXACT_FLOAT ((uint64_t)1 << 24) /* whole numbers up to here are exact in float32 */
#define ALIGN 64

enum {
    OP_SYNAPSE = 1,
    OP_NEURON,
    OP_MAXPOOL,
    OP_ADD,
    OP_MEAN,
    OP_ATTENTION,
    OP_TOKENSUM,
    OP_MASK,
    OP_SCORE,
    OP_TOPK,
    OP_GATHER,
    OP_CONSTIDS,
    OP_ZEROFILL,
    OP_LEAK,
    OP_CONCAT,
    OP_COUNT
};
enum { NEURON_LIF, NEURON_STEP, NEURON_RELU, NEURON_SIGN };
enum { SCORE_RATE, SCORE_NORM, SCORE_COLUMNS, SCORE_PRODUCT, SCORE_ENERGY };

/* How a register lies in memory, for one image:
 *   F32 float [s][c][h*w];  INT uint16 [s][c][h*w];  IDS int32 [w]
 *   SPK one bit a position, uint64 [c][s][words], words = ceil(h*w/64), unused bits 0 */
typedef enum { KIND_NONE, KIND_F32, KIND_SPK, KIND_INT, KIND_IDS } Kind;

typedef struct {
    Kind kind;
    uint32_t s, c, h, w;
    uint32_t most;   /* SPK, INT: no value is larger */
    uint32_t tokens; /* IDS: every id is smaller */
} Reg;

typedef struct {
    uint32_t kind, charge, soft, strict, late, keep;
    float decay, tau, v_threshold, v_reset, v_rest;
} Neuron;

typedef struct {
    uint32_t cin, h, w; /* of the input, after flattening */
    uint32_t cout, kh, kw, stride, pad, ho, wo;
    uint32_t pool, high, wide; /* a window's side; the size after the maximum over windows */
    uint32_t s;
    bool flatten, ternary;
    float alpha;
    const uint8_t *keep, *sign; /* ternary */
    const float *weights, *bias, *a, *b;
    uint64_t kept;
} Synapse;

typedef struct {
    uint32_t total, T, frames, channels, height, width, classes, regs, ops, ops_offset, data_offset,
        lut_offset;
} Header;

typedef struct {
    Header head;
    uint8_t *bytes;
    const float *lut;
    Reg *regs;
    uint32_t *last_use; /* per register: the last op that reads it; ops where none does */
    uint8_t *role;      /* per register, of a program of one step: a Role; else NULL */
    uint32_t steps;     /* T, and */
    uint32_t frames;    /* those of an input, also of a program of one step */
} Program;

/* What a register of one step is: the same at every step, of this step, or of all so far. */
typedef enum { STILL, MOVING, TOTAL } Role;

typedef struct {
    char *text;
    size_t size;
} Error;

typedef struct Kernels Kernels;
typedef struct Step Step;
typedef struct Context Context;

static inline size_t positions(const Reg *r) { return (size_t)r->h * r->w; }
static inline size_t words_of(size_t bits) { return (bits + 63) / 64; }
static inline size_t reg_values(const Reg *r) { return (size_t)r->s * r->c * positions(r); }
static inline size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }
static inline uint64_t tail_mask(size_t bits) {
    return bits % 64 ? ((uint64_t)1 << bits % 64) - 1 : ~(uint64_t)0;
}

static inline const uint32_t *op_words(const Program *p, uint32_t i) {
    return (const uint32_t *)(const void *)(p->bytes + p->head.ops_offset) + (size_t)32 * i;
}
static inline float as_float(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* error.c */
bool fail(const Error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *op_name(uint32_t opcode);

/* load.c: checks the header and every op; on failure the program is left empty. */
bool program_load(Program *p, const void *bytes, size_t size, const Error *e);
void program_free(Program *p);
/* stepwise.c: turns a program of T steps into that of one of them. */
bool program_stepwise(Program *p, const Error *e);

/* load.c: registers and their last readers. */
bool program_infer(Program *p, const Error *e);

/* shapes.c: the register an op writes, or a reason why the op does not fit. */
bool infer_op(Program *p, uint32_t i, const Error *e);

/* describe.c: an op's parameters as a struct; only for ops that were checked. */
Synapse synapse_of(const Program *p, uint32_t i);
Neuron neuron_of(const Program *p, uint32_t i);
const void *array_at(const Program *p, uint32_t offset, uint64_t count);
static inline bool kept_bit(const uint8_t *bits, uint64_t i) { return bits[i >> 3] >> (i & 7) & 1; }

#endif
