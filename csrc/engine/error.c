#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

bool fail(const Error *e, const char *format, ...) {
    if (e && e->text && e->size) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(e->text, e->size, format, arguments);
        va_end(arguments);
    }
    return false;
}

const char *op_name(uint32_t opcode) {
    static const char *const names[OP_COUNT] = {
        "?",    "SYNAPSE", "NEURON", "MAXPOOL", "ADD",      "MEAN",     "ATTENTION", "TOKENSUM",
        "MASK", "SCORE",   "TOPK",   "GATHER",  "CONSTIDS", "ZEROFILL", "LEAK",      "CONCAT"};
    return opcode < OP_COUNT ? names[opcode] : "?";
}
