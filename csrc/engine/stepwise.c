/* A program of T steps as that of one of them, whose membranes are carried on.
 *
 * A register is the same at every step (STILL), of the step that runs (MOVING), or of all steps so
 * far (TOTAL): the mean over time, and what is made of it. A program whose membranes would have to
 * read a mean over all steps, or that ranks patches by them, has no such form. */
#include "internal.h"

#include <stdlib.h>

static bool refuse(const Error *e, uint32_t i, const uint32_t *w, const char *what) {
    return fail(e, "op %u (%s) %s: it cannot be computed step by step", i, op_name(w[0]), what);
}

static bool role_of(const Program *p, uint32_t i, Role *role, const Error *e) {
    const uint32_t *w = op_words(p, i);
    bool moves = false, totals = false;
    for (int k = 2; k < 5; k++) {
        if (w[k] == NONE) continue;
        moves |= p->role[w[k]] == MOVING;
        totals |= p->role[w[k]] == TOTAL;
    }
    *role = totals ? TOTAL : moves ? MOVING : STILL;
    if (w[0] == OP_LEAK || (w[0] == OP_NEURON && w[5] == NEURON_LIF)) {
        *role = MOVING;
        return !totals || refuse(e, i, w, "has a membrane that reads a mean over all steps");
    }
    if (w[0] == OP_SCORE && moves && p->head.T > 1)
        return refuse(e, i, w, "ranks patches by all steps at once");
    if (w[0] == OP_MEAN && w[5] && moves) *role = TOTAL;
    return !(moves && totals) || refuse(e, i, w, "joins a mean over all steps with one of them");
}

bool program_stepwise(Program *p, const Error *e) {
    p->role = calloc(p->head.regs, sizeof *p->role);
    if (!p->role) return fail(e, "no memory for a program of %u steps", p->head.T);
    p->role[0] = p->head.frames > 1 ? MOVING : STILL;
    for (uint32_t i = 0; i < p->head.ops; i++) {
        Role role;
        if (!role_of(p, i, &role, e)) return false;
        p->role[op_words(p, i)[1]] = (uint8_t)role;
    }
    p->head.T = p->head.frames = 1;
    memset(p->regs, 0, p->head.regs * sizeof *p->regs);
    return program_infer(p, e);
}
