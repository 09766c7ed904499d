#ifndef ST_WEB_INTTYPES_H
#define ST_WEB_INTTYPES_H

#include <stdint.h>

#define PRIu64 "llu"

#endif
