/* What the ops of plain.c and plain_tokens.c share. */
#ifndef ST_PLAIN_H
#define ST_PLAIN_H

#include "net.h"

typedef struct {
    const st_net *net;
    uint32_t op;
    const uint32_t *w;
    const Reg *in[3], *out;
    const void *data[3];
    size_t first, last; /* the channels to do */
    float *x[3];        /* room for the inputs as float */
    float *room;        /* room for the output as float */
    void *to;
    uint8_t *state;  /* what the step carries on, where it does */
    uint64_t before; /* steps that are in a mean already */
    bool total;
} Plain;

/* plain.c: input k as float. */
const float *plain_in(const Plain *p, int k);
/* Where an op writes its output as float, and how it gets to its place from there. */
float *plain_out(const Plain *p);
void plain_pack(const Plain *p);

/* plain_tokens.c */
void op_attention(const Plain *p);
void op_tokensum(const Plain *p);
void op_mask(const Plain *p);
void op_score(const Plain *p);
void op_topk(const Plain *p);
void op_gather(const Plain *p);
void op_constids(const Plain *p);
void op_zerofill(const Plain *p);

#endif
