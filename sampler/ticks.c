/* ticks.c - see ticks.h. */
#include "ticks.h"

_Atomic bool ticks_forbidden;
