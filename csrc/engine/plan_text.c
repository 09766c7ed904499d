/* The plan as text, and how long each step takes. */
#include "net.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    char *text;
    size_t size;
    int length;
} Text;

static void __attribute__((format(printf, 2, 3))) put(Text *t, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const size_t at = (size_t)t->length < t->size ? (size_t)t->length : t->size;
    const int n = vsnprintf(t->text ? t->text + at : NULL, t->size - at, format, arguments);
    va_end(arguments);
    t->length = n < 0 || n > INT32_MAX - t->length ? INT32_MAX : t->length + n;
}

static void time_steps(const st_net *net, Context *c, const float *x, int64_t n, double *us) {
    const size_t values = reg_values(&net->p.regs[0]);
    for (int64_t i = 0; i < n; i++) {
        c->input = x + (size_t)i * values;
        for (uint32_t s = 0; s < net->count; s++) {
            const double from = now_us();
            run_step(net, &net->steps[s], c);
            const double took = now_us() - from;
            if (i == 0 || took < us[s]) us[s] = took;
        }
    }
}

static void put_shape(Text *t, const char *name, const Reg *r) {
    put(t, "\"%s\":[%u,%u,%u,%u]", name, r->s, r->c, r->h, r->w);
}

static void put_step(Text *t, const st_net *net, const Step *s, double us) {
    put(t, "{\"op\":%u,\"name\":\"", s->first);
    for (uint32_t i = s->first; i <= s->last; i++)
        put(t, "%s%s", i > s->first ? "+" : "", op_name(op_words(&net->p, i)[0]));
    put(t, "\",\"kernel\":\"%s\",", s->kernel);
    if (s->in[0] != NONE) {
        put_shape(t, "in", &net->p.regs[s->in[0]]);
        put(t, ",");
    }
    put_shape(t, "out", &net->p.regs[s->out]);
    if (s->layer) {
        const Synapse *y = &s->layer->y;
        const double all = (double)y->cout * y->cin * y->kh * y->kw;
        put(t, ",\"density\":%.6f", (double)y->kept / all);
    }
    put(t, ",\"microseconds\":%.2f}", us);
}

int st_plan(const st_net *net, const float *x, int64_t n, char *text, size_t size) {
    if (!net || n < 0 || (n && !x)) return -ST_BAD_ARGUMENT;
    Text t = {text, text ? size : 0, 0};
    double *us = calloc(net->count, sizeof *us);
    Context *c = context_take(net, 1);
    uint8_t *state = net->stepwise ? aligned_room(net->state) : NULL;
    if (state && c) {
        state_rest(net, state);
        c->state = state;
        c->before = 0;
        c->again = false;
    }
    const bool ready = us && c && (state || !net->stepwise);
    if (ready) {
        time_steps(net, c, x, n, us);
        put(&t, "{\"level\":\"%s\",\"steps\":[", net->k->name);
        for (uint32_t i = 0; i < net->count; i++) {
            if (i) put(&t, ",");
            put_step(&t, net, &net->steps[i], us[i]);
        }
        put(&t, "]}");
    }
    free(us);
    free(state);
    if (c) context_give(net, c);
    return ready ? t.length : -ST_NO_MEMORY;
}
