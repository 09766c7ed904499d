/* What the ways to compute a layer share: from sums to currents, spikes and pooled spikes. */
#include "net.h"

#include "bits.h"

void layer_emit_spikes(const Layer *l, uint32_t o, const uint64_t *spikes, size_t words,
                       size_t pitch, void *out, uint8_t *own) {
    const size_t to_words = words_of(positions(&l->out));
    uint64_t *to = (uint64_t *)out + (size_t)o * l->steps * to_words;
    uint64_t *tight = (uint64_t *)(void *)(own + l->at_pitch);
    const size_t tight_words = words_of(out_positions(l));
    for (uint32_t t = 0; t < l->steps; t++, to += to_words) {
        const uint64_t *from = spikes + t * words;
        uint64_t *cut = l->pools ? tight : to;
        if (pitch != l->y.wide) {
            memset(cut, 0, tight_words * 8);
            repitch(from, l->y.high, pitch, l->y.wide, cut);
            from = cut;
        } else if (!l->pools && from != to) {
            memcpy(to, from, to_words * 8);
        }
        if (l->pools) {
            memset(to, 0, to_words * 8);
            l->k->pool(from, &l->pool, to);
        } else {
            to[to_words - 1] &= tail_mask(out_positions(l));
        }
    }
}

static const float *of(const float *array, uint32_t o) { return array ? array + o : NULL; }

void layer_emit(const Layer *l, uint32_t o, float *z, size_t stride, float alpha, void *out,
                const Share *share) {
    const Synapse *y = &l->y;
    uint8_t *own = share->own;
    const size_t n = out_positions(l), words = words_of(n);
    if (y->pool > 1) {
        /* rounding keeps an order: the largest of alpha*n + bias is of the largest (smallest) n */
        float *most = (float *)(void *)(own + l->at_most);
        for (uint32_t s = 0; s < y->s; s++)
            l->k->windows(z + s * stride, y, y->ternary && alpha < 0, most + s * n);
        z = most, stride = n;
    }
    for (uint32_t s = 0; s < y->s; s++)
        l->k->affine(z + s * stride, n, alpha, y->ternary, of(y->bias, o), of(y->a, o),
                     of(y->b, o));
    if (!l->fires) {
        for (uint32_t s = 0; s < y->s; s++)
            memcpy((float *)out + ((size_t)s * y->cout + o) * n, z + s * stride, n * sizeof *z);
        return;
    }
    uint64_t *spikes = (uint64_t *)(void *)(own + l->at_spikes);
    if (!l->pools) spikes = (uint64_t *)out + (size_t)o * l->steps * words;
    l->k->fire(z, y->s == 1 ? 0 : stride, l->steps, n, &l->neuron, spikes, words,
               membranes_at(l, share, o, 0));
    if (l->pools) layer_emit_spikes(l, o, spikes, words, y->wide, out, own);
}
