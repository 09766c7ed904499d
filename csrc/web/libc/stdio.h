#ifndef ST_WEB_STDIO_H
#define ST_WEB_STDIO_H

#include <stdarg.h>
#include <stddef.h>

/* Knows %s, %u, %d, %zu and %llu, which is what messages of the engine have. */
int vsnprintf(char *text, size_t size, const char *format, va_list arguments);

#endif
