/* A ticket in C: loads the file that `spiketicket export --to engine` writes, and classifies.
 *
 * The file may come from anybody: all of it is checked before it is used, and nothing in it is
 * followed as a path or called. A model is immutable once opened: any number of threads may use one
 * at the same time. C11, no dependency but the C library and POSIX threads.
 */
#ifndef SPIKETICKET_H
#define SPIKETICKET_H

#include "spiketicket_engine.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct st_model st_model;

/* An input is [frames][channels][height][width], and there are so many logits. */
typedef struct {
    uint32_t frames, channels, height, width, classes;
} st_shape;

/* Reads and checks a file of at most 2 GiB. `level` and `flags` are those of st_load. Returns NULL
 * with a one-line reason in `error` where it is refused. */
ST_API st_model *st_open(const char *path, int level, unsigned flags, char *error,
                         size_t error_size);
/* The same of a file's content, which is copied. */
ST_API st_model *st_open_memory(const void *content, size_t size, int level, unsigned flags,
                                char *error, size_t error_size);
ST_API void st_close(st_model *model);

ST_API st_shape st_model_shape(const st_model *model);
/* The values of an input: frames * channels * height * width. */
ST_API size_t st_model_values(const st_model *model);
/* The name of a class, in UTF-8, without control characters; NULL where there is no such class. */
ST_API const char *st_class_name(const st_model *model, uint32_t index);
/* What the functions of spiketicket_engine.h take; it ends with the model. */
ST_API st_net *st_model_net(st_model *model);

/* The class of the largest logit of one input of bytes, the first of several; -1 with a reason in
 * `error` where it cannot be computed. `logits` takes one number a class, or is NULL. */
ST_API int64_t st_classify(const st_model *model, const uint8_t *x, float *logits, char *error,
                           size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
