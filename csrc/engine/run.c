/* The library's functions: threads over images, steps, tracing. */
#include "net.h"

#include <math.h>

#include <stdatomic.h>
#include <stdlib.h>

enum { MAX_THREADS = 1024 };

/* ---- processor levels */

unsigned st_levels(void) {
    const unsigned mask = processor_levels();
    return processor_counts_bits() ? mask : mask & ~(1u << ST_AVX512);
}

static const Kernels *kernels_of(int level, const Error *e) {
    const unsigned have = st_levels();
    if (level == ST_BEST) level = have & 4 ? ST_AVX512 : have & 2 ? ST_AVX2 : ST_GENERIC;
    if (level < 0 || level > ST_AVX512 || !(have >> level & 1)) {
        fail(e, "this processor, or this build of the library, has no level %d", level);
        return NULL;
    }
#if defined(ST_HAVE_AVX512)
    if (level == ST_AVX512) return &st_kernels_avx512;
#endif
#if defined(ST_HAVE_AVX2)
    if (level == ST_AVX2) return &st_kernels_avx2;
#endif
    return &st_kernels_generic;
}

/* ---- nets */

st_net *st_load(const void *program, size_t size, int level, unsigned flags, char *error,
                size_t error_size) {
    const Error e = {error, error_size};
    const Kernels *k = kernels_of(level, &e);
    if (!k) return NULL;
    if (!program || flags & ~(unsigned)(ST_KEEP_REGISTERS | ST_LATENCY | ST_STEPWISE)) {
        fail(&e, program ? "unknown flags" : "no program");
        return NULL;
    }
    st_net *net = calloc(1, sizeof *net);
    if (!net) {
        fail(&e, "no memory for a net");
        return NULL;
    }
    net->k = k;
    net->keep = flags & ST_KEEP_REGISTERS;
    net->together = flags & ST_LATENCY;
    net->stepwise = flags & ST_STEPWISE;
    pthread_mutex_init(&net->lock, NULL);
    bool good = !(net->keep && net->stepwise) || fail(&e, "stepwise nets keep no registers");
    good = good && program_load(&net->p, program, size, &e);
    good = good && (!net->stepwise || program_stepwise(&net->p, &e));
    if (!good || !plan_make(net, &e)) {
        st_free(net);
        return NULL;
    }
    return net;
}

void st_free(st_net *net) {
    if (!net) return;
    contexts_free(net);
    plan_free(net);
    program_free(&net->p);
    pthread_mutex_destroy(&net->lock);
    free(net);
}

/* ---- running */

static const float *from_bytes(const st_net *net, Context *c, const uint8_t *x) {
    const Reg *r = &net->p.regs[0];
    const size_t n = positions(r);
    float *out = reg_out(net, c, 0);
    for (size_t row = 0; row < (size_t)r->s * r->c; row++) {
        const float *lut = net->p.lut + row % r->c * 256;
        for (size_t i = row * n; i < (row + 1) * n; i++) out[i] = lut[x[i]];
    }
    return out;
}

typedef struct {
    const st_net *net;
    const float *floats; /* one of the two is given */
    const uint8_t *bytes;
    st_state *const *states; /* of a stepwise net: one step of each */
    uint32_t *steps;         /* or as many of each as it takes; how many they were */
    float margin;
    float *logits;
    int64_t n;
    _Atomic int64_t next;
} Job;

/* One image, or one step: frame `at` of the inputs, or, NONE_SHOWN, what the state saw before. */
static const size_t NONE_SHOWN = SIZE_MAX;

static void run_frame(const Job *job, Context *c, st_state *s, size_t at, float *logits) {
    const st_net *net = job->net;
    const size_t values = reg_values(&net->p.regs[0]);
    const float *x = job->floats && at != NONE_SHOWN ? job->floats + at * values : NULL;
    if (s) state_take(c, s); /* bytes may become floats in it */
    if (job->bytes && at != NONE_SHOWN) x = from_bytes(net, c, job->bytes + at * values);
    if (s) state_show(net, c, x);
    else c->input = x;
    if (c->team) team_run(c->team, net, c);
    else run_image(net, c);
    memcpy(logits, reg_in(net, c, net->steps[net->count - 1].out),
           net->p.head.classes * sizeof(float));
    if (s) state_leave(s);
}

/* Whether the best class leads the next one by the margin, in sums over the steps. */
static bool decided(const float *logits, uint32_t classes, uint32_t steps, float margin) {
    float best = -INFINITY, next = -INFINITY;
    for (uint32_t i = 0; i < classes; i++) {
        const float l = logits[i];
        if (l > best) next = best, best = l;
        else if (l > next) next = l;
    }
    return (best - next) * (float)steps >= margin;
}

static void run_until_decided(const Job *job, Context *c, st_state *s, size_t i) {
    const Program *p = &job->net->p;
    float *logits = job->logits + i * p->head.classes;
    uint32_t t = 0;
    st_state_reset(s);
    do {
        const size_t at = p->frames > 1 ? i * p->frames + t : t ? NONE_SHOWN : i;
        run_frame(job, c, s, at, logits);
        t++;
    } while (t < p->steps && !decided(logits, p->head.classes, t, job->margin));
    job->steps[i] = t;
}

/* Takes images until there are none left, each on `threads` threads. */
static bool run_images(Job *job, int threads) {
    const st_net *net = job->net;
    const uint32_t classes = net->p.head.classes;
    const bool again = !job->floats && !job->bytes;
    st_state *own = job->steps ? st_state_new(net) : NULL;
    Context *c = job->steps && !own ? NULL : context_take(net, threads);
    for (int64_t i; c && (i = atomic_fetch_add(&job->next, 1)) < job->n;) {
        if (own) run_until_decided(job, c, own, (size_t)i);
        else
            run_frame(job, c, job->states ? job->states[i] : NULL, again ? NONE_SHOWN : (size_t)i,
                      job->logits + (size_t)i * classes);
    }
    if (c) context_give(net, c);
    st_state_free(own);
    return c != NULL;
}

static void *work(void *job) { return run_images(job, 1) ? job : NULL; }

/* Threads that cannot be started leave their share to the others. */
static bool run_job(Job *job, int threads) {
    pthread_t other[MAX_THREADS];
    int started = 0;
    while (started < threads - 1 && pthread_create(&other[started], NULL, work, job) == 0)
        started++;
    bool good = work(job) != NULL;
    for (int i = 0; i < started; i++) {
        void *done = NULL;
        pthread_join(other[i], &done);
        good |= done != NULL;
    }
    return good;
}

static bool arguments_fit(const Job *job, int threads, const Error *e) {
    const bool again = !job->floats && !job->bytes;
    if (!job->net || job->n < 0 || threads < 1 ||
        (job->n && (!job->logits || (again && !job->states))))
        return fail(e, "needs a net, inputs, room for logits, n >= 0 and threads >= 1");
    for (int64_t i = 0; job->states && i < job->n; i++)
        if (!state_fits(job->net, job->states[i], again))
            return fail(e, "state %d is not of this net, or has not seen an input yet", (int)i);
    return true;
}

static int run(Job *job, int threads, const Error *e) {
    if (!arguments_fit(job, threads, e)) return ST_BAD_ARGUMENT;
    if (job->net->stepwise != (job->states || job->steps)) {
        fail(e, job->net->stepwise ? "the net was loaded with ST_STEPWISE: it runs by st_step"
                                   : "the net was loaded without ST_STEPWISE: it has no steps");
        return ST_BAD_ARGUMENT;
    }
    if (!job->n) return ST_OK;
    if (job->bytes && !job->net->p.lut) {
        fail(e, "the program has no table of byte values: give floats");
        return ST_NO_LUT;
    }
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    const bool together = job->net->together;
    if (!together && threads > job->n) threads = (int)job->n;
    if (!(together ? run_images(job, threads) : run_job(job, threads))) {
        fail(e, "no memory to run the net");
        return ST_NO_MEMORY;
    }
    return ST_OK;
}

int st_run(const st_net *net, const float *x, int64_t n, float *logits, int threads, char *error,
           size_t error_size) {
    Job job = {.net = net, .floats = x, .logits = logits, .n = n};
    return run(&job, threads, &(Error){error, error_size});
}

int st_run_u8(const st_net *net, const uint8_t *x, int64_t n, float *logits, int threads,
              char *error, size_t error_size) {
    Job job = {.net = net, .bytes = x, .logits = logits, .n = n};
    return run(&job, threads, &(Error){error, error_size});
}

int st_step(const st_net *net, st_state *const *states, const float *x, int64_t n, float *logits,
            int threads, char *error, size_t error_size) {
    const Error e = {error, error_size};
    Job job = {.net = net, .floats = x, .states = states, .logits = logits, .n = n};
    if (states) return run(&job, threads, &e);
    fail(&e, "needs states");
    return ST_BAD_ARGUMENT;
}

int st_step_u8(const st_net *net, st_state *const *states, const uint8_t *x, int64_t n,
               float *logits, int threads, char *error, size_t error_size) {
    const Error e = {error, error_size};
    Job job = {.net = net, .bytes = x, .states = states, .logits = logits, .n = n};
    if (states) return run(&job, threads, &e);
    fail(&e, "needs states");
    return ST_BAD_ARGUMENT;
}

int st_run_early(const st_net *net, const float *x, int64_t n, float margin, float *logits,
                 uint32_t *steps, int threads, char *error, size_t error_size) {
    const Error e = {error, error_size};
    Job job = {.net = net, .floats = x, .steps = steps, .margin = margin, .logits = logits, .n = n};
    if (steps && !isnan(margin)) return run(&job, threads, &e);
    fail(&e, "needs room for steps, and a margin that is a number");
    return ST_BAD_ARGUMENT;
}

int st_run_early_u8(const st_net *net, const uint8_t *x, int64_t n, float margin, float *logits,
                    uint32_t *steps, int threads, char *error, size_t error_size) {
    const Error e = {error, error_size};
    Job job = {.net = net, .bytes = x, .steps = steps, .margin = margin, .logits = logits, .n = n};
    if (steps && !isnan(margin)) return run(&job, threads, &e);
    fail(&e, "needs room for steps, and a margin that is a number");
    return ST_BAD_ARGUMENT;
}

int st_trace(const st_net *net, const float *x, uint32_t reg, float *out, size_t count, char *error,
             size_t error_size) {
    const Error e = {error, error_size};
    if (!net || !x || !out || reg >= net->p.head.regs) {
        fail(&e, "needs a net, an input, room and a register of the program");
        return ST_BAD_ARGUMENT;
    }
    const Reg *r = &net->p.regs[reg];
    if (!net->keep || r->kind == KIND_NONE || count != reg_values(r)) {
        fail(&e,
             net->keep ? "register %u is never written or has another size"
                       : "register %u: the net was loaded without keeping its registers",
             reg);
        return ST_BAD_ARGUMENT;
    }
    Context *c = context_take(net, 1);
    if (!c) {
        fail(&e, "no memory to run the net");
        return ST_NO_MEMORY;
    }
    c->input = x;
    run_image(net, c);
    reg_to_float(net->k, r, reg_in(net, c, reg), out);
    context_give(net, c);
    return ST_OK;
}
