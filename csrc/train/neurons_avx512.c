#define LEVEL avx512
#include "neurons.inc.h"
