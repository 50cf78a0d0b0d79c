// Weights of +1 and -1: a bit u stands for 2 u - 1.
namespace {

constexpr int BITS = 1, FACTOR = 2, OFFSET = 1;

typedef unsigned Vector __attribute__((vector_size(16)));
constexpr unsigned long WORDS = 31;  // 31 * 8 < 2^8
constexpr int ROWS_OF_SIGNS = 4;

constexpr int count_of(int rows) { return rows == 1 ? 4 : 1; }

// Bytes: pairs of bits, nibbles, bytes are added within the lane.
inline Vector add_count(Vector sum, Vector bits) {
  bits -= bits >> 1 & 0x55555555;
  bits = (bits & 0x33333333) + (bits >> 2 & 0x33333333);
  return sum + ((bits + (bits >> 4)) & 0x0F0F0F0F);
}

inline Vector widen(Vector sum) {
  sum = (sum & 0x00FF00FF) + (sum >> 8 & 0x00FF00FF);
  return (sum & 0xFFFF) + (sum >> 16);
}

}  // namespace

#include "runtime/fields_generic.inc"
#include "binary_matmul/kernel.h"
#include "binary_matmul/tile.inc"

extern const octavo::IntegerKernel binary_matmul_generic;
const octavo::IntegerKernel binary_matmul_generic = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                     multiply};
extern const octavo::SignsKernel xnor_matmul_generic;
const octavo::SignsKernel xnor_matmul_generic = {kSigns, kWords};
