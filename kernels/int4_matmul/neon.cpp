namespace {

constexpr int BITS = 4, FACTOR = 1, OFFSET = 8;

}  // namespace

#include "runtime/fields_neon.inc"

extern const octavo::IntegerKernel int4_matmul_neon;
const octavo::IntegerKernel int4_matmul_neon = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                  by_rows<Multiply, MOST>};
