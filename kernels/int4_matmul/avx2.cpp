namespace {

constexpr int BITS = 4, FACTOR = 1, OFFSET = 8;

}  // namespace

#include "runtime/fields_avx2.inc"

extern const octavo::IntegerKernel int4_matmul_avx2;
const octavo::IntegerKernel int4_matmul_avx2 = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                by_rows<Multiply, MOST>};
