/* The packed ticket engine: runs a compiled ticket (a "program") on a CPU.
 *
 * C11, no dependency but the C library and POSIX threads. A net is immutable once loaded, and tuned
 * where that is wanted: any number of threads may run one net at the same time. There is no global
 * state.
 */
#ifndef SPIKETICKET_ENGINE_H
#define SPIKETICKET_ENGINE_H

#include "processor.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define ST_API __declspec(dllexport)
#elif defined(__GNUC__)
#define ST_API __attribute__((visibility("default")))
#else
#define ST_API
#endif

typedef struct st_net st_net;

enum { ST_OK = 0, ST_BAD_ARGUMENT = 1, ST_NO_MEMORY = 2, ST_NO_LUT = 3 };
enum { ST_PROGRAM_VERSION = 2 }; /* of programs that st_load reads */
enum { ST_BEST = -1 };           /* the best level that this processor runs */
enum { ST_KEEP_REGISTERS = 1, ST_LATENCY = 2, ST_STEPWISE = 4 };

/* Checks and copies a program, and plans how to run it.
 *
 * level: ST_BEST, or one of ST_GENERIC.. (an error where this processor lacks it).
 * flags: ST_KEEP_REGISTERS keeps every register apart (no fusion), needed by st_trace.
 * ST_LATENCY: the threads of a run work on one input together, input after input, in place of an
 * input each. They are started once, wait between runs, and end with st_free.
 * ST_STEPWISE: for st_step in place of st_run; not with ST_KEEP_REGISTERS. A program whose answer
 * needs all steps at once is refused.
 * Returns NULL with a one-line reason in `error` where the program is refused. */
ST_API st_net *st_load(const void *program, size_t size, int level, unsigned flags, char *error,
                       size_t error_size);
ST_API void st_free(st_net *net);

/* Times the ways to compute each layer on the n inputs given (a few, like those to come) and keeps
 * the fastest, on one thread. Answers stay the same to the bit. It changes the net: call it before
 * any other thread has the net. Returns a code as st_run; where it fails the net is as before. */
ST_API int st_tune(st_net *net, const float *x, int64_t n, char *error, size_t error_size);

/* Logits [n][classes] of n inputs [n][frames][channels][height][width], on `threads` threads.
 * Returns ST_OK or another of the codes above, with a one-line reason in `error`. */
ST_API int st_run(const st_net *net, const float *x, int64_t n, float *logits, int threads,
                  char *error, size_t error_size);
/* The same of bytes, through the program's table of values. */
ST_API int st_run_u8(const st_net *net, const uint8_t *x, int64_t n, float *logits, int threads,
                     char *error, size_t error_size);

/* What a net carries from one time step to the next, for one sample: membranes, and the mean over
 * the steps so far. It belongs to the caller, is used by one thread at a time, and ends before the
 * net; it must be made after st_tune. NULL without memory, or where the net is not stepwise. */
typedef struct st_state st_state;
ST_API st_state *st_state_new(const st_net *net);
ST_API void st_state_free(st_state *state);
/* To rest: as it was when it was new. */
ST_API void st_state_reset(st_state *state);
/* A new mean begins with the next step; membranes stay as they are. */
ST_API void st_state_restart_mean(st_state *state);
ST_API st_state *st_state_copy(const st_state *state);
ST_API size_t st_state_size(const st_state *state); /* bytes of memory */

/* One time step of each of n different states: x is [n][channels][height][width], or NULL where
 * each sees once more what it saw in the step before. Logits [n][classes] are of the mean over the
 * steps since the state was new, or its mean restarted: after all T steps of the program they are
 * those of st_run, to the bit. Returns a code as st_run; on failure no state has changed. */
ST_API int st_step(const st_net *net, st_state *const *states, const float *x, int64_t n,
                   float *logits, int threads, char *error, size_t error_size);
/* The same of bytes, through the program's table of values. */
ST_API int st_step_u8(const st_net *net, st_state *const *states, const uint8_t *x, int64_t n,
                      float *logits, int threads, char *error, size_t error_size);

/* As st_run, of a net loaded with ST_STEPWISE, and each input only for as many steps as it takes:
 * the first after which the best class leads the next one by `margin` in the sums of the logits
 * over the steps, else all of them. `steps` [n] tells how many. A margin of 0 is one step; of
 * infinity, all. */
ST_API int st_run_early(const st_net *net, const float *x, int64_t n, float margin, float *logits,
                        uint32_t *steps, int threads, char *error, size_t error_size);
ST_API int st_run_early_u8(const st_net *net, const uint8_t *x, int64_t n, float margin,
                           float *logits, uint32_t *steps, int threads, char *error,
                           size_t error_size);

/* One register [S][C][H][W] of one input as float; `count` is its size. */
ST_API int st_trace(const st_net *net, const float *x, uint32_t reg, float *out, size_t count,
                    char *error, size_t error_size);

/* The plan as JSON: op, kernel, shapes, density, microseconds (best over the n inputs given; 0
 * without inputs). Returns the length of the whole text, as snprintf does; negative on failure. */
ST_API int st_plan(const st_net *net, const float *x, int64_t n, char *text, size_t size);

/* Bit mask of the levels this processor runs: bit 0 generic, 1 AVX2, 2 AVX-512. */
ST_API unsigned st_levels(void);

#ifdef __cplusplus
}
#endif
#endif
