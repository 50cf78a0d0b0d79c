namespace {

constexpr int BITS = 2, FACTOR = 1, OFFSET = 2;

}  // namespace

#include "runtime/fields_avx2.inc"

extern const octavo::IntegerKernel int2_matmul_avx2;
const octavo::IntegerKernel int2_matmul_avx2 = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                by_rows<Multiply, MOST>};
