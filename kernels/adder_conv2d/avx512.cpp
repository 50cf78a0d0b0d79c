#include <immintrin.h>

#include <cstdint>

namespace {

typedef float Vector __attribute__((vector_size(64)));
typedef int Bits __attribute__((vector_size(64)));
constexpr int ROWS = 6, MOST = 4;

// Eight sums of eight bytes each.
struct Sums {
  typedef __m512i Register;
  static constexpr int rows = 6, registers = 4;

  static inline Register load(const uint8_t* at) { return _mm512_loadu_si512(at); }
  static inline Register spread(int64_t eight) { return _mm512_set1_epi64(eight); }
  static inline Register add(Register sum, Register a, Register b) {
    return _mm512_add_epi64(sum, _mm512_sad_epu8(a, b));
  }
  static inline void store(int32_t* to, Register sum) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi64_epi32(sum));
  }
};

}  // namespace

#include "adder_conv2d/tile.inc"
#include "adder_conv2d/codes.inc"

extern const octavo::AdderKernel adder_conv2d_avx512;
const octavo::AdderKernel adder_conv2d_avx512 = {run, to_input, add_codes};
