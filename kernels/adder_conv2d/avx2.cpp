#include <immintrin.h>

#include <cstdint>

namespace {

typedef float Vector __attribute__((vector_size(32)));
typedef int Bits __attribute__((vector_size(32)));
constexpr int ROWS = 4, MOST = 2;

// Four sums of eight bytes each.
struct Sums {
  typedef __m256i Register;
  static constexpr int rows = 2, registers = 4;

  static inline Register load(const uint8_t* at) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  }
  static inline Register spread(int64_t eight) { return _mm256_set1_epi64x(eight); }
  static inline Register add(Register sum, Register a, Register b) {
    return _mm256_add_epi64(sum, _mm256_sad_epu8(a, b));
  }
  static inline void store(int32_t* to, Register sum) {
    const __m256i low = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    const __m256i halves = _mm256_permutevar8x32_epi32(sum, low);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(halves));
  }
};

}  // namespace

#include "adder_conv2d/tile.inc"
#include "adder_conv2d/codes.inc"

extern const octavo::AdderKernel adder_conv2d_avx2;
const octavo::AdderKernel adder_conv2d_avx2 = {run, to_input, add_codes};
