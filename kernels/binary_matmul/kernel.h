// Products with weights of one bit.
#pragma once
#include "runtime/integer.h"

namespace octavo {

// Bits by bits: the product is the same, the activations come as floats or as words of signs.
struct SignsKernel {
  IntegerKernel floats, words;
};

}  // namespace octavo
