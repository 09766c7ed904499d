/* Threads that work on one image together.
 *
 * Every phase of every step is cut into as many shares as there are threads, at most. Whoever is
 * free takes the next share; whoever finishes the last one begins the next phase. So nobody waits
 * for a thread that was not started, or that the machine has no time for, unless it holds a share.
 *
 * All that a thread needs to know to take a share is in one word, which holds the number of the
 * phase, so that a thread which comes late cannot take a share of a phase that is over. */
#include "net.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { BITS = 12, SPINS = 1000 };

static const uint64_t FIELD = (1u << BITS) - 1;

static uint64_t number_of(uint64_t state) { return state >> 2 * BITS; }
static uint64_t shares_of(uint64_t state) { return state >> BITS & FIELD; }
static uint64_t next_of(uint64_t state) { return state & FIELD; }

typedef struct {
    Team *team;
    int number;
    pthread_t thread;
} Member;

struct Team {
    _Alignas(ALIGN) _Atomic uint64_t state;
    _Alignas(ALIGN) _Atomic uint64_t left; /* shares of this phase that are not finished */
    _Atomic int sleepers;
    atomic_bool stop;
    /* written by whoever begins a phase, before it begins */
    const st_net *net;
    const Context *context;
    uint32_t step, phase;
    int threads; /* that there are, the caller's too */
    pid_t home;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    Member *members; /* [threads], the first is the caller */
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Until another phase than that of `state` has begun. */
static void wait_for_change(Team *t, uint64_t state) {
    for (int i = 0; i < SPINS; i++, relax())
        if (number_of(atomic_load(&t->state)) != number_of(state)) return;
    pthread_mutex_lock(&t->lock);
    atomic_fetch_add(&t->sleepers, 1);
    while (number_of(atomic_load(&t->state)) == number_of(state))
        pthread_cond_wait(&t->changed, &t->lock);
    atomic_fetch_sub(&t->sleepers, 1);
    pthread_mutex_unlock(&t->lock);
}

/* Only one thread at a time comes here: all shares of the phase before are finished. */
static void begin(Team *t, size_t shares) {
    const uint64_t number = number_of(atomic_load(&t->state)) + 1;
    atomic_store(&t->left, shares);
    atomic_store(&t->state, number << 2 * BITS | shares << BITS);
    if (!atomic_load(&t->sleepers)) return;
    pthread_mutex_lock(&t->lock);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

static void begin_phase(Team *t) {
    const Step *step = &t->net->steps[t->step];
    const size_t units = step->units[t->phase], threads = (size_t)t->threads;
    begin(t, units < threads ? units : threads);
}

static void begin_next(Team *t) {
    if (++t->phase == t->net->steps[t->step].phases) {
        t->phase = 0;
        t->step = next_step(t->net, t->context, t->step + 1);
    }
    if (t->step < t->net->count) begin_phase(t);
    else begin(t, 0);
}

static void do_share(const Member *m, uint64_t number, uint64_t shares) {
    const Team *t = m->team;
    const Context *c = t->context;
    const Step *step = &t->net->steps[t->step];
    const uint64_t units = step->units[t->phase];
    const Share share = {t->phase,
                         (size_t)(units * number / shares),
                         (size_t)(units * (number + 1) / shares),
                         c->shared,
                         c->own + own_scratch(t->net) * (size_t)m->number,
                         state_of(step, c)};
    step->run(t->net, step, c, &share);
}

/* Takes shares until there are none left to take; returns what was seen then. */
static uint64_t help(const Member *m) {
    Team *t = m->team;
    uint64_t state = atomic_load(&t->state);
    while (next_of(state) < shares_of(state)) {
        if (!atomic_compare_exchange_weak(&t->state, &state, state + 1)) continue;
        do_share(m, next_of(state), shares_of(state));
        if (atomic_fetch_sub(&t->left, 1) == 1) begin_next(t);
        state = atomic_load(&t->state);
    }
    return state;
}

static void *member_runs(void *argument) {
    const Member *m = argument;
    for (;;) {
        const uint64_t state = help(m);
        if (atomic_load(&m->team->stop)) return NULL;
        wait_for_change(m->team, state);
    }
}

void team_run(Team *t, const st_net *net, const Context *c) {
    t->net = net;
    t->context = c;
    t->phase = 0;
    t->step = next_step(net, c, 0);
    if (t->step == net->count) return;
    begin_phase(t);
    for (uint64_t state; shares_of(state = help(&t->members[0]));) wait_for_change(t, state);
}

/* Signals are for the threads of the program that uses the library. */
static void start(Team *t, int threads) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (t->threads = 1; t->threads < threads; t->threads++) {
        Member *m = &t->members[t->threads];
        if (pthread_create(&m->thread, NULL, member_runs, m)) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

Team *team_make(int threads) {
    Team *t = aligned_alloc(ALIGN, round_up(sizeof *t, ALIGN));
    Member *members = calloc((size_t)threads, sizeof *members);
    if (!t || !members) {
        free(t);
        free(members);
        return NULL;
    }
    memset(t, 0, sizeof *t);
    t->members = members;
    t->home = getpid();
    for (int i = 0; i < threads; i++) members[i] = (Member){.team = t, .number = i};
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    start(t, threads);
    return t;
}

bool team_lives(const Team *t) { return t->home == getpid(); }

/* Of a child that was forked there is only the memory: what its threads held is held for ever. */
void team_free(Team *t) {
    if (!t) return;
    if (team_lives(t)) {
        atomic_store(&t->stop, true);
        begin(t, 0);
        for (int i = 1; i < t->threads; i++) pthread_join(t->members[i].thread, NULL);
        pthread_cond_destroy(&t->changed);
        pthread_mutex_destroy(&t->lock);
    }
    free(t->members);
    free(t);
}
