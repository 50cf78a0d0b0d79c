#include <arm_neon.h>

#include <cstdint>

namespace {

typedef float Vector __attribute__((vector_size(16)));
typedef int Bits __attribute__((vector_size(16)));
constexpr int ROWS = 4, MOST = 3;

// Two sums of eight bytes each, in halves.
struct Sums {
  typedef uint32x4_t Register;
  static constexpr int rows = 4, registers = 4;

  static inline Register load(const uint8_t* at) { return vreinterpretq_u32_u8(vld1q_u8(at)); }
  static inline Register spread(int64_t eight) { return vreinterpretq_u32_s64(vdupq_n_s64(eight)); }
  static inline Register add(Register sum, Register a, Register b) {
    const uint8x16_t apart = vabdq_u8(vreinterpretq_u8_u32(a), vreinterpretq_u8_u32(b));
    return vpadalq_u16(sum, vpaddlq_u8(apart));
  }
  static inline void store(int32_t* to, Register sum) {
    vst1_s32(to, vreinterpret_s32_u32(vpadd_u32(vget_low_u32(sum), vget_high_u32(sum))));
  }
};

}  // namespace

#include "adder_conv2d/tile.inc"
#include "adder_conv2d/codes.inc"

extern const octavo::AdderKernel adder_conv2d_neon;
const octavo::AdderKernel adder_conv2d_neon = {run, to_input, add_codes};
