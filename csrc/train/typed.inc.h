/* One instantiation per element type: REAL is the storage type, LOAD/STORE convert to float.
 *
 * Data is row-major [time][row][channel] (channels last). `z = a*y + b` is the normalised
 * input; a pooled block reads 2x2 windows of rows and keeps the maximum spike.
 * The window's membranes live in small stack blocks, so nothing but y and the spikes is stored.
 */

static void FN(stats_chunk)(const REAL *y, int64_t r0, int64_t r1, int64_t C, double *mean,
                            double *m2) {
    /* Two passes over a chunk that fits the cache: exact enough for any offset. */
    float s[BLOCK];
    for (int64_t c0 = 0; c0 < C; c0 += BLOCK) {
        int64_t cb = C - c0 < BLOCK ? C - c0 : BLOCK;
        for (int64_t c = 0; c < cb; c++) s[c] = 0.f;
        for (int64_t r = r0; r < r1; r++) {
            const REAL *p = y + r * C + c0;
            for (int64_t c = 0; c < cb; c++) s[c] += LOAD(p[c]);
        }
        float m[BLOCK];
        for (int64_t c = 0; c < cb; c++) {
            m[c] = s[c] / (float)(r1 - r0);
            s[c] = 0.f;
        }
        for (int64_t r = r0; r < r1; r++) {
            const REAL *p = y + r * C + c0;
            for (int64_t c = 0; c < cb; c++) {
                float d = LOAD(p[c]) - m[c];
                s[c] += d * d;
            }
        }
        for (int64_t c = 0; c < cb; c++) {
            mean[c0 + c] = m[c];
            m2[c0 + c] = s[c];
        }
    }
}

/* Mean and biased variance of each channel over `rows` rows; chunks are combined in a fixed
 * order (Chan et al. 1983), so the result does not depend on the number of threads. */
static int FN(stats)(const REAL *y, int64_t rows, int64_t C, float *mean, float *var, int threads) {
    int64_t n = (rows + CHUNK - 1) / CHUNK;
    double *part = malloc(sizeof(double) * (size_t)(2 * n * C));
    if (!part) return 1;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t k = 0; k < n; k++) {
        int64_t r1 = (k + 1) * CHUNK < rows ? (k + 1) * CHUNK : rows;
        FN(stats_chunk)(y, k * CHUNK, r1, C, part + 2 * k * C, part + 2 * k * C + C);
    }
    for (int64_t c = 0; c < C; c++) {
        double m = 0, m2 = 0, count = 0;
        for (int64_t k = 0; k < n; k++) {
            double nk = (double)((k + 1) * CHUNK < rows ? CHUNK : rows - k * CHUNK);
            double d = part[2 * k * C + c] - m, total = count + nk;
            m += d * nk / total;
            m2 += part[2 * k * C + C + c] + d * d * count * nk / total;
            count = total;
        }
        mean[c] = (float)m;
        var[c] = (float)(m2 / count);
    }
    free(part);
    return 0;
}

/* Charge, fire and reset one block of channels of one row at one time step. */
static inline __attribute__((always_inline)) void FN(advance)(
    const REAL *restrict y, const float *restrict a, const float *restrict b, const Lif *p,
    int64_t cb, float *restrict v, float *restrict u, float *restrict s) {
    const float decay = p->decay, tau = p->tau, rest = p->v_rest, v_threshold = p->v_threshold;
    const float hard = p->soft_reset ? 0.f : 1.f,
                target = p->soft_reset ? -v_threshold : p->v_reset;
    if (p->charge == 0)
        for (int64_t c = 0; c < cb; c++) u[c] = v[c] * decay + (a[c] * LOAD(y[c]) + b[c]);
    else if (p->charge == 1)
        for (int64_t c = 0; c < cb; c++)
            u[c] = v[c] - (v[c] - rest) / tau + (a[c] * LOAD(y[c]) + b[c]);
    else
        for (int64_t c = 0; c < cb; c++)
            u[c] = v[c] + ((a[c] * LOAD(y[c]) + b[c]) - (v[c] - rest)) / tau;
    for (int64_t c = 0; c < cb; c++) {
        float f = u[c] >= v_threshold ? 1.f : 0.f;
        s[c] = f;
        v[c] = (1.f - hard * f) * u[c] + f * target;
    }
}

static inline int64_t FN(window)(const Shape *d, int64_t out_row, int k) {
    if (!d->pool) return out_row;
    int64_t w2 = d->W / 2, h2 = d->H / 2;
    int64_t w = out_row % w2, h = out_row / w2 % h2, n = out_row / (w2 * h2);
    return (n * d->H + 2 * h + k / 2) * d->W + 2 * w + k % 2;
}

static int FN(forward)(const REAL *y, const float *a, const float *b, REAL *out, const Shape *d,
                       const Lif *p, int threads) {
    const int K = d->pool ? 4 : 1;
    const int64_t in_rows = d->B * d->H * d->W, out_rows = in_rows / K, C = d->C;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < out_rows; row++) {
        float v[4][BLOCK], u[BLOCK], s[BLOCK], best[BLOCK];
        for (int64_t c0 = 0; c0 < C; c0 += BLOCK) {
            int64_t cb = C - c0 < BLOCK ? C - c0 : BLOCK;
            for (int k = 0; k < K; k++)
                for (int64_t c = 0; c < cb; c++) v[k][c] = p->v_rest;
            for (int64_t t = 0; t < d->T; t++) {
                const REAL *yt = y + (d->repeat ? 0 : t) * in_rows * C;
                for (int64_t c = 0; c < cb; c++) best[c] = 0.f;
                for (int k = 0; k < K; k++) {
                    FN(advance)(yt + FN(window)(d, row, k) * C + c0, a + c0, b + c0, p, cb, v[k], u,
                                s);
                    for (int64_t c = 0; c < cb; c++) best[c] = best[c] > s[c] ? best[c] : s[c];
                }
                REAL *o = out + (t * out_rows + row) * C + c0;
                for (int64_t c = 0; c < cb; c++) o[c] = STORE(best[c]);
            }
        }
    }
    return 0;
}

/* Gradient with respect to z for one group of K rows and one block of channels, time run
 * backwards. With pooling the group is a 2x2 window; without, it is K neighbouring rows. */
static inline __attribute__((always_inline)) void FN(group_grad)(
    const REAL *y, const float *a, const float *b, const REAL *g, REAL *gz, const Shape *d,
    const Lif *p, int64_t group, int64_t c0, int64_t cb, int K, int pool, float *scratch,
    float *sum, float *sumy) {
    const int64_t in_rows = d->B * d->H * d->W, out_rows = pool ? in_rows / 4 : in_rows;
    const int64_t C = d->C, T = d->T;
    const float hard = p->soft_reset ? 0.f : 1.f, through = p->detach_reset ? 0.f : 1.f;
    const float again = d->repeat ? 1.f : 0.f, input_gain = p->charge == 2 ? 1.f / p->tau : 1.f;
    const float decay = p->decay, v_threshold = p->v_threshold;
    float *U = scratch, *S = scratch + T * GROUP * BLOCK;
    float v[GROUP][BLOCK], gv[GROUP][BLOCK], acc[GROUP][BLOCK], gs[BLOCK], top[BLOCK], ds[BLOCK];
    int64_t at[GROUP];
    for (int k = 0; k < K; k++) {
        at[k] = (pool ? FN(window)(d, group, k) : group * GROUP + k) * C + c0;
        for (int64_t c = 0; c < cb; c++) {
            v[k][c] = p->v_rest;
            gv[k][c] = 0.f;
            acc[k][c] = 0.f;
        }
    }
    for (int64_t t = 0; t < T; t++)
        for (int k = 0; k < K; k++)
            FN(advance)(y + (d->repeat ? 0 : t) * in_rows * C + at[k], a + c0, b + c0, p, cb, v[k],
                        U + (t * GROUP + k) * BLOCK, S + (t * GROUP + k) * BLOCK);
    for (int64_t t = T - 1; t >= 0; t--) {
        const float *u = U + t * GROUP * BLOCK, *s = S + t * GROUP * BLOCK;
        if (pool) {
            /* max pooling sends the gradient to the first maximum: first spike, or the corner */
            const REAL *gt = g + (t * out_rows + group) * C + c0;
            for (int64_t c = 0; c < cb; c++) {
                float m = s[c] > s[BLOCK + c] ? s[c] : s[BLOCK + c];
                float n = s[2 * BLOCK + c] > s[3 * BLOCK + c] ? s[2 * BLOCK + c] : s[3 * BLOCK + c];
                top[c] = m > n ? m : n;
                gs[c] = LOAD(gt[c]);
            }
        }
        for (int k = 0; k < K; k++, u += BLOCK, s += BLOCK) {
            float *restrict gvk = gv[k];
            if (!pool) {
                const REAL *gt = g + t * in_rows * C + at[k];
                for (int64_t c = 0; c < cb; c++) {
                    gs[c] = LOAD(gt[c]);
                    top[c] = s[c];
                }
            }
            surrogate(p, u, ds, cb);
            for (int64_t c = 0; c < cb; c++) {
                float hit = s[c] == top[c] ? 1.f : 0.f, mine = gs[c] * hit;
                gs[c] -= mine;
                float keep = 1.f - hard * s[c],
                      jump = hard * (p->v_reset - u[c]) - (1.f - hard) * v_threshold;
                gvk[c] = mine * ds[c] + gvk[c] * (keep + through * jump * ds[c]);
            }
            for (int64_t c = 0; c < cb; c++) acc[k][c] = again * acc[k][c] + gvk[c] * input_gain;
            for (int64_t c = 0; c < cb; c++) gvk[c] *= decay;
            if (!d->repeat || t == 0) {
                const REAL *yt = y + (d->repeat ? 0 : t) * in_rows * C + at[k];
                REAL *out = gz + (d->repeat ? 0 : t) * in_rows * C + at[k];
                for (int64_t c = 0; c < cb; c++) {
                    float q = acc[k][c];
                    out[c] = STORE(q);
                    sum[c0 + c] += q;
                    sumy[c0 + c] += q * LOAD(yt[c]);
                }
            }
        }
    }
}

/* gz (same shape as y), and per channel the sums of gz and of gz*(y - mean)*rstd. */
static int FN(backward)(const REAL *y, const float *a, const float *b, const float *mean,
                        const float *rstd, const REAL *g, REAL *gz, double *sums, const Shape *d,
                        const Lif *p, int threads) {
    const int64_t rows = d->B * d->H * d->W, C = d->C, groups = (rows + GROUP - 1) / GROUP;
    const int64_t n = (groups + GROUPS_A_CHUNK - 1) / GROUPS_A_CHUNK;
    const size_t stack = 2 * (size_t)d->T * GROUP * BLOCK;
    float *part = calloc((size_t)(2 * n * C), sizeof(float));
    float *scratch = malloc(sizeof(float) * (size_t)threads * stack);
    if (!part || !scratch) {
        free(part);
        free(scratch);
        return 1;
    }
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t k = 0; k < n; k++) {
        float *mine = scratch + (size_t)THREAD() * stack, *sum = part + 2 * k * C;
        for (int64_t q = k * GROUPS_A_CHUNK; q < groups && q < (k + 1) * GROUPS_A_CHUNK; q++) {
            int K = rows - q * GROUP < GROUP ? (int)(rows - q * GROUP) : GROUP;
            for (int64_t c0 = 0; c0 < C; c0 += BLOCK) {
                int64_t cb = C - c0 < BLOCK ? C - c0 : BLOCK;
                /* constant arguments: the compiler makes one straight loop nest for each case */
                if (d->pool && cb == BLOCK)
                    FN(group_grad)(y, a, b, g, gz, d, p, q, c0, BLOCK, GROUP, 1, mine, sum,
                                   sum + C);
                else if (cb == BLOCK && K == GROUP)
                    FN(group_grad)(y, a, b, g, gz, d, p, q, c0, BLOCK, GROUP, 0, mine, sum,
                                   sum + C);
                else
                    FN(group_grad)(y, a, b, g, gz, d, p, q, c0, cb, K, d->pool, mine, sum, sum + C);
            }
        }
    }
    for (int64_t c = 0; c < C; c++) {
        double s = 0, sy = 0;
        for (int64_t k = 0; k < n; k++) {
            s += part[2 * k * C + c];
            sy += part[2 * k * C + C + c];
        }
        sums[c] = s;
        sums[C + c] = (sy - s * mean[c]) * rstd[c];
    }
    free(part);
    free(scratch);
    return 0;
}

/* gy = a*gz + q*y + r in place over gz: batch normalisation's own backward pass. */
static int FN(finish)(const REAL *y, REAL *gz, const float *a, const float *q, const float *r,
                      int64_t rows, int64_t C, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < rows; i++) {
        const REAL *p = y + i * C;
        REAL *o = gz + i * C;
        for (int64_t c = 0; c < C; c++) o[c] = STORE(a[c] * LOAD(o[c]) + q[c] * LOAD(p[c]) + r[c]);
    }
    return 0;
}
