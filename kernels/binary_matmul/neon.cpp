// Weights of +1 and -1: a bit u stands for 2 u - 1.
#include <arm_neon.h>

namespace {

constexpr int BITS = 1, FACTOR = 2, OFFSET = 1;

typedef unsigned Vector __attribute__((vector_size(16)));
constexpr unsigned long WORDS = 31;  // 31 * 8 < 2^8
constexpr int ROWS_OF_SIGNS = 4;

constexpr int count_of(int) { return 4; }

// Bytes: how many bits are set in each.
inline Vector add_count(Vector sum, Vector bits) {
  return Vector(vaddq_u8(uint8x16_t(sum), vcntq_u8(uint8x16_t(bits))));
}

inline Vector widen(Vector sum) { return Vector(vpaddlq_u16(vpaddlq_u8(uint8x16_t(sum)))); }

}  // namespace

#include "runtime/fields_neon.inc"
#include "binary_matmul/kernel.h"
#include "binary_matmul/tile.inc"

extern const octavo::IntegerKernel binary_matmul_neon;
const octavo::IntegerKernel binary_matmul_neon = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                  by_rows<Multiply, MOST>};
extern const octavo::SignsKernel xnor_matmul_neon;
const octavo::SignsKernel xnor_matmul_neon = {kSigns, kWords};
