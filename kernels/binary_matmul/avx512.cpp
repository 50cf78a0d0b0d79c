// Weights of +1 and -1: a bit u stands for 2 u - 1.
namespace {

constexpr int BITS = 1, FACTOR = 2, OFFSET = 1;

typedef unsigned Vector __attribute__((vector_size(64)));
constexpr unsigned long WORDS = -1ul;
constexpr int ROWS_OF_SIGNS = 6;

constexpr int count_of(int) { return 4; }

// In assembly: VPOPCNTDQ is this function's alone, not the file's.
inline Vector add_count(Vector sum, Vector bits) {
  asm("vpopcntd %0, %0" : "+v"(bits));
  return sum + bits;
}

inline Vector widen(Vector sum) { return sum; }

}  // namespace

#include "runtime/fields_avx512.inc"
#include "binary_matmul/kernel.h"
#include "binary_matmul/tile.inc"

extern const octavo::IntegerKernel binary_matmul_avx512;
const octavo::IntegerKernel binary_matmul_avx512 = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                    by_rows<Multiply, MOST>};
extern const octavo::SignsKernel xnor_matmul_avx512;
const octavo::SignsKernel xnor_matmul_avx512 = {kSigns, kWords};
