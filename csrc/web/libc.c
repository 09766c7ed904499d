/* Memory, messages and numbers for the engine in a browser. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory: blocks in order of their addresses, the first that fits is taken */

enum { UNIT = 64, PAGE = 65536 };

typedef struct Block Block;
struct Block {
    _Alignas(UNIT) size_t size; /* of what follows, in bytes, of UNIT each */
    int used;
    Block *next;
};

extern uint8_t __heap_base;
static Block *first, *last;

static void join_next(Block *b) {
    while (b->next && !b->next->used) {
        b->size += sizeof *b + b->next->size;
        b->next = b->next->next;
    }
    if (!b->next) last = b;
}

/* A free block of at least `size` bytes at the end of the memory. */
static Block *grow(size_t size) {
    const size_t end = (size_t)__builtin_wasm_memory_size(0) * PAGE;
    const size_t start = ((size_t)&__heap_base + UNIT - 1) / UNIT * UNIT;
    const size_t pages = (size + sizeof(Block)) / PAGE + 1;
    size_t at = first ? end : start;
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) return NULL;
    Block *b = (Block *)at;
    *b = (Block){.size = end + pages * PAGE - at - sizeof *b};
    if (first) last->next = b;
    else first = b;
    last = b;
    return b;
}

void *malloc(size_t size) {
    if (size > PTRDIFF_MAX - PAGE) return NULL;
    size = (size + UNIT - 1) / UNIT * UNIT;
    if (!size) size = UNIT;
    Block *b = first;
    for (; b; b = b->next) {
        if (b->used) continue;
        join_next(b);
        if (b->size >= size) break;
    }
    if (!b && !(b = grow(size))) return NULL;
    if (b->size >= size + sizeof *b + UNIT) {
        Block *rest = (Block *)((uint8_t *)(b + 1) + size);
        *rest = (Block){.size = b->size - size - sizeof *rest, .next = b->next};
        b->size = size;
        b->next = rest;
        if (last == b) last = rest;
    }
    b->used = 1;
    return b + 1;
}

void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    void *block = malloc(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void *aligned_alloc(size_t alignment, size_t size) {
    return alignment > UNIT ? NULL : malloc(size);
}

void free(void *block) {
    if (block) ((Block *)block - 1)->used = 0;
}

/* ---- strings; the compiler has instructions for the first three */

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    return __builtin_memcpy(to, from, size);
}
void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }
void *memset(void *to, int value, size_t size) { return __builtin_memset(to, value, size); }

int memcmp(const void *a, const void *b, size_t size) {
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
}

/* ---- messages */

typedef struct {
    char *text;
    size_t size, at;
} Text;

static void put(Text *t, char c) {
    if (t->at + 1 < t->size) t->text[t->at] = c;
    t->at++;
}

static void put_number(Text *t, uint64_t n) {
    if (n >= 10) put_number(t, n / 10);
    put(t, (char)('0' + n % 10));
}

int vsnprintf(char *text, size_t size, const char *format, va_list arguments) {
    Text t = {text, size, 0};
    for (const char *f = format; *f; f++) {
        if (*f != '%') {
            put(&t, *f);
        } else if (*++f == 's') {
            for (const char *s = va_arg(arguments, const char *); *s; s++) put(&t, *s);
        } else if (*f == 'd') {
            const int64_t n = va_arg(arguments, int);
            if (n < 0) put(&t, '-');
            put_number(&t, (uint64_t)(n < 0 ? -n : n));
        } else if (*f == 'l') {
            f += 2;
            put_number(&t, va_arg(arguments, uint64_t));
        } else {
            if (*f == 'z') f++;
            put_number(&t, va_arg(arguments, unsigned)); /* size_t is as wide */
        }
    }
    if (size) text[t.at < size ? t.at : size - 1] = 0;
    return (int)t.at;
}

/* ---- numbers */

/* Exact but for results that are subnormal, which are not asked for. */
double ldexp(double x, int exponent) {
    for (; exponent > 1000; exponent -= 1000) x *= 0x1p1000;
    for (; exponent < -1000; exponent += 1000) x *= 0x1p-1000;
    const union {
        uint64_t bits;
        double value;
    } power = {.bits = (uint64_t)(exponent + 1023) << 52};
    return x * power.value;
}
