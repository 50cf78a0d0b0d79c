#include <arm_neon.h>

namespace {

typedef float Vector __attribute__((vector_size(16)));
typedef int Bits __attribute__((vector_size(16)));
typedef uint64_t Words __attribute__((vector_size(16)));
constexpr int MOST = 3;

inline Words ones(Words x) {
  return Words(vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(vcntq_u8(uint8x16_t(x))))));
}

}  // namespace

#include "cluster_attention/tile.inc"

extern const octavo::ClusterKernel cluster_attention_neon;
const octavo::ClusterKernel cluster_attention_neon = {assign, count, attend};
