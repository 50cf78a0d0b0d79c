namespace {

constexpr int BITS = 2, FACTOR = 1, OFFSET = 2;

}  // namespace

#include "runtime/fields_avx512.inc"

extern const octavo::IntegerKernel int2_matmul_avx512;
const octavo::IntegerKernel int2_matmul_avx512 = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                  by_rows<Multiply, MOST>};
