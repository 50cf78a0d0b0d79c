#include <arm_neon.h>

namespace {

typedef float Vector __attribute__((vector_size(16)));
constexpr int CHAINS = 16;

}  // namespace

#define KEEP(v) asm volatile("" : "+w"(v))
#include "roofline/tile.inc"

namespace {

constexpr double kBytes = sizeof(Vector) * double(CHAINS);

// 2 operations a byte.
void spin_int8(size_t rounds) {
  int8x16_t x = vdupq_n_s8(3);
  KEEP(x);
  chains(vdupq_n_s32(0), rounds, [&](int32x4_t v) {
    asm volatile("sdot %0.4s, %1.16b, %1.16b" : "+w"(v) : "w"(x));
    return v;
  });
}

// One look-up a byte.
void spin_shuffle(size_t rounds) {
  uint8x16_t x = vdupq_n_u8(3);
  KEEP(x);
  chains(x, rounds, [&](uint8x16_t v) { return vqtbl1q_u8(x, v); });
}

}  // namespace

extern const octavo::RooflineKernel roofline_neon;
const octavo::RooflineKernel roofline_neon = {{{spin_fma, kFloatOperations},
                                               {spin_int8, 2 * kBytes, "dotprod"},
                                               {spin_fadd, kFloatOperations},
                                               {},
                                               {spin_shuffle, kBytes},
                                               {}},
                                              read};
