/* How a bit-sliced layer is planned and run; what it does is told in bitsliced.c. */
#ifndef ST_BITSLICED_H
#define ST_BITSLICED_H

#include "net.h"

typedef struct {
    uint32_t planes;
    size_t pitch, words; /* of a step */
    size_t room, span;   /* words before a plane; words of a plane with room */
    uint32_t phases_x, phases;
    Taps taps;
    size_t *phase;
    int64_t *shift;
    uint64_t *mask;
    size_t tile, flat, counter; /* words of a tile, of its steps together, of a counter's plane */
    /* The same of the neurons: of what the maximum over windows leaves, where there is one. */
    struct {
        size_t pitch, words, tile, counter;
    } out;
    TreeRow *rows;
    uint32_t (*kept)[2]; /* of each channel: weights that count down, and up */
    uint16_t *list;
    size_t *start;         /* of each channel in the list */
    float *offset, *scale; /* of each channel: its sum is scale * (counter - offset) */
    bool *exact;           /* by float */
    uint32_t thresholds;   /* words a channel */
    uint64_t *threshold;   /* [channel or group][thresholds][1 or vector] */
    uint32_t group;        /* channels in one vector of neurons; 0: one channel over many words */
    size_t at_in, at_slab, at_counters, at_pooled, at_spikes, at_group, at_float;
} Sliced;

static inline bool has_memory(const Layer *l) { return l->neuron.kind == NEURON_LIF; }

static inline size_t tiles_of(const Sliced *p) { return (p->words + p->tile - 1) / p->tile; }
static inline uint32_t unit_of(const Sliced *p) { return p->group ? p->group : 1; }
static inline size_t groups_of(const Layer *l, const Sliced *p) {
    return (l->y.cout + unit_of(p) - 1) / unit_of(p);
}

/* bitsliced.c */
void bitsliced_run(const Layer *l, const void *in, void *out, const Share *share);

#endif
