/* Room in memory: where vectors may begin, and how much of it each thread has. */
#include "net.h"

#include <stdlib.h>

uint8_t *aligned_room(uint64_t bytes) {
    return aligned_alloc(ALIGN, round_up((size_t)bytes + SLACK, ALIGN));
}

size_t own_scratch(const st_net *net) { return round_up((size_t)net->scratch.own + SLACK, ALIGN); }
