#define WORDS 4
#define LEVEL avx2
#include "kernels.inc.h"
