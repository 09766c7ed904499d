/* libFuzzer target: no bytes may make st_load, or st_run of what it loads, misbehave.
 *
 * The first byte picks level and flags, the rest is the program. Programs that would take long are
 * loaded but not run. The harness sets the magic, the version and the length that the header
 * states: what is left to find lies behind them. */
#include "spiketicket_engine.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_WORK = 200000, MOST_VALUES = 1 << 14 };

/* A bound on the multiply-adds of a program, from its records; what cannot be read counts as none,
 * since st_load refuses it. */
static double work_of(const uint32_t *words, size_t count) {
    double work = 0, h = words[6], wide = words[7];
    const size_t ops = words[10], at = words[11] / 4;
    for (size_t i = 0; i < ops && at + 32 * (i + 1) <= count; i++) {
        const uint32_t *w = words + at + 32 * i;
        /* padding may make an image large, and all that follows reads it */
        const double pad = w[0] == 1 ? w[9] : w[0] == 3 ? w[7] : 0;
        h += 2 * pad, wide += 2 * pad;
        const double pixels = h * wide * words[3];
        if (w[0] == 1) work += (double)w[5] * w[6] * w[7] * pixels * 8;
        if (w[0] == 3) work += (double)w[5] * w[5] * pixels;
        work += pixels * 16;
    }
    return work;
}

/* More steps than most programs have, the input coming again, another mean, and from rest. */
static void run_steps(const st_net *net, const float *x, float *logits) {
    char error[200];
    st_state *states[2] = {st_state_new(net), st_state_new(net)};
    for (int i = 0; states[0] && states[1] && i < 6; i++) {
        (void)st_step(net, states, i % 3 ? NULL : x, 2, logits, 1 + i % 2, error, sizeof error);
        (void)st_step_u8(net, states, (const uint8_t *)x, 1, logits, 1, error, sizeof error);
        if (i == 2) st_state_restart_mean(states[0]);
        if (i == 4) st_state_reset(states[1]);
    }
    st_state *copy = states[0] ? st_state_copy(states[0]) : NULL;
    if (copy) (void)st_step(net, &copy, NULL, 1, logits, 1, error, sizeof error);
    st_state_free(copy);
    st_state_free(states[0]);
    st_state_free(states[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 65) return 0;
    const size_t bytes = size - 1;
    uint32_t *program = malloc(bytes + 4);
    if (!program) return 0;
    memcpy(program, data + 1, bytes);
    program[0] = 0x31505453;
    program[1] = ST_PROGRAM_VERSION;
    program[2] = (uint32_t)bytes;
    char error[200];
    const int level = data[0] & 3;
    const bool steps = (data[0] & 36) == 36;
    const unsigned flags = (steps              ? ST_STEPWISE
                            : data[0] >> 2 & 1 ? ST_KEEP_REGISTERS
                                               : 0) |
                           (data[0] >> 6 & 1 ? ST_LATENCY : 0);
    st_net *net = st_load(program, bytes, level == 3 ? ST_BEST : level, flags, error, sizeof error);
    const size_t values = (size_t)program[4] * program[5] * program[6] * program[7];
    if (net && values <= MOST_VALUES && work_of(program, bytes / 4) <= MOST_WORK) {
        float *x = malloc(2 * values * sizeof *x), *logits = malloc(2 * program[8] * sizeof *x);
        for (size_t i = 0; x && i < 2 * values; i++) x[i] = (float)(int)(i * 2654435761u % 17) - 8;
        if (x && logits) {
            const int threads = 1 + (data[0] >> 3 & 1);
            (void)st_run(net, x, threads, logits, threads, error, sizeof error);
            if (data[0] & 64) (void)st_run(net, x, 2, logits, 5, error, sizeof error);
            if (data[0] & 16) (void)st_run_u8(net, (const uint8_t *)x, 1, logits, 1, error, 200);
            if (data[0] & 128) (void)st_tune(net, x, 1, error, sizeof error);
            if (steps) run_steps(net, x, logits);
            if (data[0] & 32) (void)st_plan(net, x, 1, error, sizeof error);
        }
        free(x);
        free(logits);
    }
    st_free(net);
    free(program);
    return 0;
}
