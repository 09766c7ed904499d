/* What of the C library the engine uses, where there is none: libc.c. */
#ifndef ST_WEB_STDLIB_H
#define ST_WEB_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *aligned_alloc(size_t alignment, size_t size);
void free(void *block);

#endif
