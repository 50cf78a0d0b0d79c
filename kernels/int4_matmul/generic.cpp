namespace {

constexpr int BITS = 4, FACTOR = 1, OFFSET = 8;

}  // namespace

#include "runtime/fields_generic.inc"

extern const octavo::IntegerKernel int4_matmul_generic;
const octavo::IntegerKernel int4_matmul_generic = {MOST, sizeof(int8_t), quantize<int8_t>, multiply};
