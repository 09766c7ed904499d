#define WORDS 8
#define LEVEL avx512
#include "kernels.inc.h"
