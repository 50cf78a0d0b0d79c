namespace {

constexpr int BITS = 2, FACTOR = 1, OFFSET = 2;

}  // namespace

#include "runtime/fields_neon.inc"

extern const octavo::IntegerKernel int2_matmul_neon;
const octavo::IntegerKernel int2_matmul_neon = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                  by_rows<Multiply, MOST>};
