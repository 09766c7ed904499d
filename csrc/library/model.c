/* The file of `spiketicket export --to engine`, little endian:
 *
 *   0   "STE1"
 *   4   version, 1
 *   8   bytes of the names
 *   12  bytes of the program
 *   16  the names of the classes in UTF-8, each ended by a zero byte
 *   ..  zero bytes up to a multiple of 16
 *   ..  the program, which st_load checks
 */
#include "spiketicket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 16, VERSION = 1, MOST_NAMES = 1 << 24 };
static const size_t MOST_BYTES = 0x7fffffff;

struct st_model {
    st_net *net;
    st_shape shape;
    char *names;
    const char **name; /* [classes], into names */
};

static void *refuse(char *error, size_t size, const char *what) {
    if (error && size) snprintf(error, size, "%s", what);
    return NULL;
}

static uint32_t word(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Points to the names, which must be as many as there are classes, each one ended. */
static int take_names(st_model *m, const uint8_t *at, size_t size) {
    uint32_t count = 0;
    m->names = malloc(size ? size : 1);
    m->name = calloc(m->shape.classes, sizeof *m->name);
    if (!m->names || !m->name) return -1;
    memcpy(m->names, at, size);
    for (size_t i = 0, start = 0; i < size; i++) {
        if (m->names[i]) {
            const unsigned char c = (unsigned char)m->names[i];
            if (c < 32 || c == 127) return 0;
            continue;
        }
        if (count == m->shape.classes) return 0;
        m->name[count++] = m->names + start;
        start = i + 1;
    }
    return count == m->shape.classes && size && !m->names[size - 1];
}

st_model *st_open_memory(const void *content, size_t size, int level, unsigned flags, char *error,
                         size_t error_size) {
    const uint8_t *file = content;
    if (!file || size < HEAD || memcmp(file, "STE1", 4))
        return refuse(error, error_size, "not a file of spiketicket export --to engine");
    if (word(file + 4) != VERSION)
        return refuse(error, error_size, "the file is of a later version of spiketicket");
    const uint64_t names = word(file + 8), program = word(file + 12);
    const uint64_t at = (HEAD + names + 15) / 16 * 16;
    if (names > MOST_NAMES || size > MOST_BYTES || at + program != size || program < 64)
        return refuse(error, error_size, "the file is cut off, or its header is damaged");
    st_model *m = calloc(1, sizeof *m);
    if (!m) return refuse(error, error_size, "no memory");
    m->net = st_load(file + at, (size_t)program, level, flags, error, error_size);
    if (!m->net) {
        st_close(m);
        return NULL;
    }
    /* st_load has bounded them */
    const uint8_t *head = file + at + 16;
    m->shape =
        (st_shape){word(head), word(head + 4), word(head + 8), word(head + 12), word(head + 16)};
    const int fits = take_names(m, file + HEAD, (size_t)names);
    if (fits <= 0) {
        st_close(m);
        return refuse(error, error_size,
                      fits < 0 ? "no memory" : "the names in the file are not one a class");
    }
    return m;
}

st_model *st_open(const char *path, int level, unsigned flags, char *error, size_t error_size) {
    FILE *f = fopen(path, "rb");
    if (!f) return refuse(error, error_size, "the file cannot be opened");
    uint8_t *content = NULL;
    st_model *m = NULL;
    const long size = fseek(f, 0, SEEK_END) ? -1 : ftell(f);
    if (size < 0 || (unsigned long)size > MOST_BYTES || fseek(f, 0, SEEK_SET))
        refuse(error, error_size, "the file cannot be read, or is larger than 2 GiB");
    else if (!(content = malloc((size_t)size + 1))) refuse(error, error_size, "no memory");
    else if (fread(content, 1, (size_t)size, f) != (size_t)size)
        refuse(error, error_size, "the file cannot be read");
    else m = st_open_memory(content, (size_t)size, level, flags, error, error_size);
    free(content);
    fclose(f);
    return m;
}

void st_close(st_model *model) {
    if (!model) return;
    st_free(model->net);
    free(model->names);
    free(model->name);
    free(model);
}

st_shape st_model_shape(const st_model *model) { return model->shape; }

size_t st_model_values(const st_model *model) {
    const st_shape *s = &model->shape;
    return (size_t)s->frames * s->channels * s->height * s->width;
}

const char *st_class_name(const st_model *model, uint32_t index) {
    return index < model->shape.classes ? model->name[index] : NULL;
}

st_net *st_model_net(st_model *model) { return model->net; }

int64_t st_classify(const st_model *model, const uint8_t *x, float *logits, char *error,
                    size_t error_size) {
    float *own = logits ? NULL : malloc(model->shape.classes * sizeof *own);
    float *found = logits ? logits : own;
    int64_t best = -1;
    if (!found) refuse(error, error_size, "no memory");
    else if (st_run_u8(model->net, x, 1, found, 1, error, error_size) == ST_OK) {
        best = 0;
        for (uint32_t i = 1; i < model->shape.classes; i++)
            if (found[i] > found[best]) best = i;
    }
    free(own);
    return best;
}
