namespace {

constexpr int BITS = 4, FACTOR = 1, OFFSET = 8;

}  // namespace

#include "runtime/fields_avx512.inc"

extern const octavo::IntegerKernel int4_matmul_avx512;
const octavo::IntegerKernel int4_matmul_avx512 = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                  by_rows<Multiply, MOST>};
