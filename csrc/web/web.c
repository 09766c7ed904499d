/* The engine for a page: one program, one thread. Pointers are offsets into the module's memory. */
#include "net.h"
#include "spiketicket_engine.h"

#include <math.h>
#include <stdlib.h>

#define WEB(name) __attribute__((export_name(#name), used)) name

static st_net *fast, *whole; /* the second keeps every register, to look at */
static Context *seen;
static char error[256];

/* team.c needs threads; no context here asks for more than one. */
Team *team_make(int threads) {
    (void)threads;
    return NULL;
}
void team_free(Team *t) { (void)t; }
bool team_lives(const Team *t) { return t != NULL; }
void team_run(Team *t, const st_net *net, const Context *c) { (void)t, (void)net, (void)c; }

void *WEB(web_room)(size_t bytes) { return malloc(bytes); }

void WEB(web_free)(void *block) { free(block); }

const char *WEB(web_error)(void) { return error; }

/* Whether the program was taken; else web_error says why. */
int WEB(web_open)(const void *program, size_t size) {
    if (seen) context_give(whole, seen);
    seen = NULL;
    st_free(fast);
    st_free(whole);
    whole = NULL;
    fast = st_load(program, size, ST_GENERIC, 0, error, sizeof error);
    if (fast) whole = st_load(program, size, ST_GENERIC, ST_KEEP_REGISTERS, error, sizeof error);
    return fast && whole;
}

/* Logits of one input [frames][channels][height][width]. */
int WEB(web_run)(const float *x, float *logits) {
    return st_run(fast, x, 1, logits, 1, error, sizeof error) == ST_OK;
}

/* Computes every register of one input, which must stay where it is until they were read. */
int WEB(web_look)(const float *x) {
    if (!whole) return 0;
    if (!seen) seen = context_take(whole, 1);
    if (!seen) return 0;
    seen->input = x;
    run_image(whole, seen);
    return 1;
}

/* Kind, then S, C, H, W of a register; false where the program has none of this number. */
int WEB(web_shape)(uint32_t reg, uint32_t shape[5]) {
    if (!whole || reg >= whole->p.head.regs) return 0;
    const Reg *r = &whole->p.regs[reg];
    const uint32_t found[5] = {r->kind, r->s, r->c, r->h, r->w};
    memcpy(shape, found, sizeof found);
    return r->kind != KIND_NONE;
}

/* A register as floats [S][C][H][W], after web_look. */
int WEB(web_register)(uint32_t reg, float *out) {
    if (!seen || reg >= whole->p.head.regs || whole->p.regs[reg].kind == KIND_NONE) return 0;
    reg_to_float(whole->k, &whole->p.regs[reg], reg_in(whole, seen, reg), out);
    return 1;
}

static bool kept(const Synapse *y, uint64_t j) {
    return y->ternary ? y->keep[j / 8] >> j % 8 & 1 : y->weights[j] != 0;
}

/* How often a value at one place of the input is read, summed over the outputs: [cin][kh][kw]. */
static void count_readers(const Synapse *y, double *readers) {
    const uint64_t taps = (uint64_t)y->cin * y->kh * y->kw;
    memset(readers, 0, taps * sizeof *readers);
    for (uint64_t j = 0; j < y->cout * taps; j++) readers[j % taps] += kept(y, j);
}

/* Whether tap k of an input at `at` belongs to one of the n outputs. */
static bool reaches(uint32_t at, uint32_t k, const Synapse *y, uint32_t n) {
    const int64_t from = (int64_t)at + y->pad - k;
    return from >= 0 && from % y->stride == 0 && from / y->stride < n;
}

static double read_of(const Synapse *y, const double *readers, uint32_t row, uint32_t column) {
    double sum = 0;
    for (uint32_t i = 0; i < y->kh; i++)
        for (uint32_t j = 0; j < y->kw; j++)
            if (reaches(row, i, y, y->ho) && reaches(column, j, y, y->wo))
                sum += readers[i * y->kw + j];
    return sum;
}

/* Additions of one synapse for the input that was looked at: each spike, or unit of a sum of
 * spikes, once for every weight that is not zero and reads it. Of real values it is each value
 * that is not 0, which are multiplications too. -1: no synapse, or no memory. */
double WEB(web_count)(uint32_t op) {
    if (!seen || op >= whole->p.head.ops) return -1;
    const Program *p = &whole->p;
    const uint32_t *w = op_words(p, op);
    if (w[0] != OP_SYNAPSE) return -1;
    const Synapse y = synapse_of(p, op);
    const Reg *in = &p->regs[w[2]];
    float *x = malloc(reg_values(in) * sizeof *x);
    double *readers = malloc((size_t)y.cin * y.kh * y.kw * sizeof *readers), sum = 0;
    if (x && readers) {
        reg_to_float(whole->k, in, reg_in(whole, seen, w[2]), x);
        count_readers(&y, readers);
        for (size_t i = 0; i < reg_values(in); i++) {
            if (!x[i]) continue;
            const size_t at = i % ((size_t)y.h * y.w), channel = i / ((size_t)y.h * y.w) % y.cin;
            const double times = in->kind == KIND_F32 ? 1 : fabs((double)x[i]);
            sum += times * read_of(&y, readers + channel * y.kh * y.kw, (uint32_t)(at / y.w),
                                   (uint32_t)(at % y.w));
        }
    } else sum = -1;
    free(x);
    free(readers);
    return sum;
}
