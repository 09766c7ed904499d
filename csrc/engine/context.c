/* Contexts: the memory of a run, kept for the next one, since fresh memory costs more than a small
 * net does. */
#include "net.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static void context_free(Context *c) {
    team_free(c->team);
    free(c->arena);
    free(c->shared);
    free(c->own);
    free(c);
}

void contexts_free(st_net *net) {
    while (net->idle) {
        Context *next = net->idle->next;
        context_free(net->idle);
        net->idle = next;
    }
}

static Context *context_make(const st_net *net, int threads) {
    Context *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->threads = threads;
    c->arena = aligned_room(net->arena);
    c->shared = aligned_room(net->scratch.shared);
    c->own = aligned_room((uint64_t)own_scratch(net) * (unsigned)threads);
    if (c->arena && c->shared && c->own) return c;
    context_free(c);
    return NULL;
}

static Context *idle_context(st_net *net, int threads) {
    pthread_mutex_lock(&net->lock);
    Context **at = &net->idle;
    while (*at && (*at)->threads != threads) at = &(*at)->next;
    Context *c = *at;
    if (c) *at = c->next;
    pthread_mutex_unlock(&net->lock);
    return c;
}

Context *context_take(const st_net *shared, int threads) {
    st_net *net = (st_net *)shared; /* the only part that changes, under its lock */
    Context *c = idle_context(net, threads);
    if (!c) c = context_make(net, threads);
    if (!c || threads == 1 || (c->team && team_lives(c->team))) return c;
    team_free(c->team);
    c->team = team_make(threads);
    if (c->team) return c;
    context_free(c);
    return NULL;
}

void context_give(const st_net *shared, Context *c) {
    st_net *net = (st_net *)shared;
    pthread_mutex_lock(&net->lock);
    c->next = net->idle;
    net->idle = c;
    pthread_mutex_unlock(&net->lock);
}

void run_step(const st_net *net, const Step *step, const Context *c) {
    for (uint32_t phase = 0; phase < step->phases; phase++) {
        const Share all = {phase, 0, step->units[phase], c->shared, c->own, state_of(step, c)};
        step->run(net, step, c, &all);
    }
}

void run_image(const st_net *net, const Context *c) {
    for (uint32_t i = next_step(net, c, 0); i < net->count; i = next_step(net, c, i + 1))
        run_step(net, &net->steps[i], c);
}

double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}
