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
enum { ST_KEEP_REGISTERS = 1, ST_LATENCY = 2 };

/* Checks and copies a program, and plans how to run it.
 *
 * level: ST_BEST, or one of ST_GENERIC.. (an error where this processor lacks it).
 * flags: ST_KEEP_REGISTERS keeps every register apart (no fusion), needed by st_trace.
 * ST_LATENCY: the threads of a run work on one input together, input after input, in place of an
 * input each. They are started once, wait between runs, and end with st_free.
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
