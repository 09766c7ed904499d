/* Every op by itself, one time step at a time, as the definition has it: float32 operations are
 * rounded one by one and in its order. Spikes lie in bytes, whole numbers in two, the rest in
 * floats; arrays are [channel][row][column]. A product is volatile so that it is not joined with a
 * sum. */
enum { BYTES, HALVES, FLOATS };

typedef struct {
    const void *at;
    int kind;
    uint32_t channels, height, width;
} values;

typedef struct {
    const uint8_t *keep, *sign; /* one bit a weight, [output][input][row][column] */
    const float *weights, *bias, *a, *b;
    float alpha;
    uint32_t outputs, rows, columns, stride, pad, pool, height, width;
    int flatten;
} synapse;

typedef struct {
    int kind, charge, soft, strict, late, keep;
    float decay, tau, threshold, reset, rest;
} neuron;

static float value_at(const values *x, size_t i)
{
    if (x->kind == BYTES) return (float)((const uint8_t *)x->at)[i];
    if (x->kind == HALVES) return (float)((const uint16_t *)x->at)[i];
    return ((const float *)x->at)[i];
}

static size_t plane_of(const values *x)
{
    return (size_t)x->channels * x->height * x->width;
}

static float times(float x, float y)
{
    volatile float product = x * y;
    return product;
}

static int bit_at(const uint8_t *bits, size_t i)
{
    return bits[i >> 3] >> (i & 7u) & 1;
}

/* Adds one weight times its input to all sums of a channel, to which `from` is the input's map. */
static void add_weight(const synapse *l, const values *x, size_t from, uint32_t ky, uint32_t kx,
                       float weight)
{
    const uint32_t height = l->flatten ? 1u : x->height, width = l->flatten ? 1u : x->width;
    for (uint32_t y = 0; y < l->height; y++) {
        const uint32_t row = y * l->stride + ky;
        if (row < l->pad || row - l->pad >= height) continue;
        for (uint32_t c = 0; c < l->width; c++) {
            const uint32_t column = c * l->stride + kx;
            float value;
            if (column < l->pad || column - l->pad >= width) continue;
            value = value_at(x, from + (size_t)(row - l->pad) * width + column - l->pad);
            if (l->weights)
                sums[y * l->width + c] += times(weight, value);
            else if (weight > 0.0f)
                sums[y * l->width + c] += value;
            else
                sums[y * l->width + c] -= value;
        }
    }
}

/* Where the spikes of an input are: of each channel where its own begin, then each as row and
 * column. A flattened input is one channel, and a spike its index. */
static void find_spots(const synapse *l, const values *x)
{
    const uint32_t channels = l->flatten ? 1u : x->channels;
    const uint32_t height = l->flatten ? 1u : x->height;
    const uint32_t width = l->flatten ? (uint32_t)plane_of(x) : x->width;
    const uint8_t *spike = (const uint8_t *)x->at;
    uint32_t next = channels + 1u;
    for (uint32_t c = 0; c < channels; c++) {
        spots[c] = (spot)next;
        for (uint32_t y = 0; y < height; y++)
            for (uint32_t i = 0; i < width; i++)
                if (*spike++) spots[next++] = (spot)(l->flatten ? i : y << SPOT_ROW | i);
    }
    spots[channels] = (spot)next;
}

/* Adds the spikes of one channel through one weight, as a whole number to sums that are ones. */
static void add_spots(const synapse *l, uint32_t c, uint32_t ky, uint32_t kx, float weight)
{
    for (uint32_t i = spots[c]; i < spots[c + 1u]; i++) {
        const uint32_t row = ((uint32_t)spots[i] >> SPOT_ROW) + l->pad - ky;
        const uint32_t column = ((uint32_t)spots[i] & SPOT_COLUMN) + l->pad - kx;
        uint32_t y = row, x = column;
        if (l->stride > 1u) {
            /* what wrapped around lies far behind the last row */
            if (row % l->stride || column % l->stride) continue;
            y = row / l->stride, x = column / l->stride;
        }
        if (y < l->height && x < l->width) sums[y * l->width + x] += weight;
    }
}

/* Ternary weights on spikes: only those at which there is a spike. */
static void add_spikes(const synapse *l, const values *x, uint32_t o)
{
    size_t at;
    for (uint32_t i = 0; i < l->height * l->width; i++) sums[i] = 0.0f;
    if (l->flatten) {
        const size_t first = (size_t)o * plane_of(x);
        for (uint32_t i = spots[0]; i < spots[1]; i++)
            if (bit_at(l->keep, first + spots[i]))
                sums[0] += bit_at(l->sign, first + spots[i]) ? 1.0f : -1.0f;
        return;
    }
    at = (size_t)o * x->channels * l->rows * l->columns;
    for (uint32_t c = 0; c < x->channels; c++) {
        if (spots[c] == spots[c + 1u]) {
            at += l->rows * l->columns;
            continue;
        }
        for (uint32_t ky = 0; ky < l->rows; ky++)
            for (uint32_t kx = 0; kx < l->columns; kx++, at++)
                if (bit_at(l->keep, at))
                    add_spots(l, c, ky, kx, bit_at(l->sign, at) ? 1.0f : -1.0f);
    }
}

static void add_channel(const synapse *l, const values *x, uint32_t o)
{
    const uint32_t inputs =
        l->flatten ? x->channels * x->height * x->width : x->channels;
    const size_t map = l->flatten ? 1u : (size_t)x->height * x->width;
    size_t at = (size_t)o * inputs * l->rows * l->columns;
    for (uint32_t i = 0; i < l->height * l->width; i++) sums[i] = 0.0f;
    for (uint32_t c = 0; c < inputs; c++)
        for (uint32_t ky = 0; ky < l->rows; ky++)
            for (uint32_t kx = 0; kx < l->columns; kx++, at++) {
                if (l->weights) {
                    if (l->weights[at] != 0.0f) add_weight(l, x, c * map, ky, kx, l->weights[at]);
                } else if (bit_at(l->keep, at)) {
                    add_weight(l, x, c * map, ky, kx, bit_at(l->sign, at) ? 1.0f : -1.0f);
                }
            }
}

static void run_synapse(const synapse *l, const values *x, float *out)
{
    const uint32_t high = l->height / l->pool, wide = l->width / l->pool;
    const int spikes = !l->weights && x->kind == BYTES && (!l->flatten || !l->pad);
    if (spikes) find_spots(l, x);
    for (uint32_t o = 0; o < l->outputs; o++) {
        if (spikes)
            add_spikes(l, x, o);
        else
            add_channel(l, x, o);
        for (uint32_t i = 0; i < l->height * l->width; i++) {
            if (!l->weights) sums[i] = times(l->alpha, sums[i]);
            if (l->bias) sums[i] += l->bias[o];
        }
        for (uint32_t y = 0; y < high; y++)
            for (uint32_t c = 0; c < wide; c++) {
                float most = sums[y * l->pool * l->width + c * l->pool];
                for (uint32_t ky = 0; ky < l->pool; ky++)
                    for (uint32_t kx = 0; kx < l->pool; kx++) {
                        const float sum = sums[(y * l->pool + ky) * l->width + c * l->pool + kx];
                        if (sum > most) most = sum;
                    }
                *out++ = l->a ? times(l->a[o], most) + l->b[o] : most;
            }
    }
}

static float charged(const neuron *n, float v, float z)
{
    switch (n->charge) {
    case 0: return times(v, n->decay) + z;
    case 1: return (v - (v - n->rest) / n->tau) + z;
    case 2: return v + (z - (v - n->rest)) / n->tau;
    case 3: return v + times(z - (v - n->rest), n->decay);
    default: return (v - times(v - n->rest, n->decay)) + z;
    }
}

/* Spikes of neurons with a membrane `v`; `late` is the spikes of the step before. */
static void run_lif(const neuron *n, const values *x, const values *y, float *v, uint8_t *late,
                    uint8_t *out)
{
    const size_t count = plane_of(x);
    for (size_t i = 0; i < count; i++) {
        const float z = y ? value_at(x, i) + value_at(y, i) : value_at(x, i);
        float u = charged(n, v[i], z);
        if (late && late[i]) u = n->soft ? u - n->threshold : n->reset;
        out[i] = n->strict ? u > n->threshold : u >= n->threshold;
        v[i] = u;
        if (late)
            late[i] = out[i];
        else if (out[i] && !n->keep)
            v[i] = n->soft ? u - n->threshold : n->reset;
    }
}

static void run_step(const neuron *n, const values *x, const values *y, uint8_t *out)
{
    const size_t count = plane_of(x);
    for (size_t i = 0; i < count; i++) {
        const float z = y ? value_at(x, i) + value_at(y, i) : value_at(x, i);
        out[i] = z - n->threshold >= 0.0f;
    }
}

static void run_number(const neuron *n, const values *x, const values *y, float *out)
{
    const size_t count = plane_of(x);
    for (size_t i = 0; i < count; i++) {
        const float z = y ? value_at(x, i) + value_at(y, i) : value_at(x, i);
        if (n->kind == 2)
            out[i] = z > 0.0f ? z : 0.0f;
        else
            out[i] = z >= 0.0f ? 1.0f : -1.0f;
    }
}

static void run_leak(int own, float rate, const values *x, float *sum, float *out)
{
    const size_t count = plane_of(x);
    for (size_t i = 0; i < count; i++) {
        const float kept = own ? sum[i] + times(rate, sum[i]) : times(sum[i], rate);
        out[i] = sum[i] = kept + value_at(x, i);
    }
}

static void put(void *out, int kind, size_t i, float value)
{
    if (kind == BYTES)
        ((uint8_t *)out)[i] = (uint8_t)value;
    else if (kind == HALVES)
        ((uint16_t *)out)[i] = (uint16_t)value;
    else
        ((float *)out)[i] = value;
}

static void run_maxpool(uint32_t k, uint32_t stride, uint32_t pad, const values *x,
                        const values *to, void *out)
{
    size_t at = 0;
    for (uint32_t c = 0; c < x->channels; c++)
        for (uint32_t y = 0; y < to->height; y++)
            for (uint32_t z = 0; z < to->width; z++, at++) {
                float most = 0.0f;
                int any = 0;
                for (uint32_t ky = 0; ky < k; ky++)
                    for (uint32_t kx = 0; kx < k; kx++) {
                        const uint32_t row = y * stride + ky, column = z * stride + kx;
                        float value;
                        if (row < pad || row - pad >= x->height) continue;
                        if (column < pad || column - pad >= x->width) continue;
                        value = value_at(x, ((size_t)c * x->height + row - pad) * x->width +
                                                column - pad);
                        if (!any || value > most) most = value;
                        any = 1;
                    }
                put(out, to->kind, at, most);
            }
}

static void run_add(const values *x, const values *y, int kind, void *out)
{
    const size_t count = plane_of(x);
    for (size_t i = 0; i < count; i++) put(out, kind, i, value_at(x, i) + value_at(y, i));
}

static void run_mask(const values *x, const values *mask, int kind, void *out)
{
    const size_t map = (size_t)x->height * x->width, count = plane_of(x);
    const int each = mask->height * mask->width == map;
    for (size_t i = 0; i < count; i++) {
        const int on = value_at(mask, each ? i : i / map) != 0.0f;
        put(out, kind, i, on ? value_at(x, i) : 0.0f);
    }
}

static void run_copy(const values *x, int kind, void *out, size_t at)
{
    const size_t count = plane_of(x);
    for (size_t i = 0; i < count; i++) put(out, kind, at + i, value_at(x, i));
}

/* One step of a mean: adds up, over positions too where they are one in the output. */
static void add_up(const values *x, int positions, float *out)
{
    const size_t map = (size_t)x->height * x->width, count = plane_of(x);
    for (size_t i = 0; i < count; i++) out[positions ? i / map : i] += value_at(x, i);
}
