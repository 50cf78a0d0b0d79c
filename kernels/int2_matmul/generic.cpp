namespace {

constexpr int BITS = 2, FACTOR = 1, OFFSET = 2;

}  // namespace

#include "runtime/fields_generic.inc"

extern const octavo::IntegerKernel int2_matmul_generic;
const octavo::IntegerKernel int2_matmul_generic = {MOST, sizeof(int8_t), quantize<int8_t>, multiply};
