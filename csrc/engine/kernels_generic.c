#define WORDS 1
#define LEVEL generic
#include "kernels.inc.h"
