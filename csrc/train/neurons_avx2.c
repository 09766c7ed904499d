#define LEVEL avx2
#include "neurons.inc.h"
