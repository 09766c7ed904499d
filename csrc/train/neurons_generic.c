#define LEVEL generic
#include "neurons.inc.h"
