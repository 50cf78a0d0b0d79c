#include <cstdint>

namespace {

typedef float Vector __attribute__((vector_size(16)));
typedef int Bits __attribute__((vector_size(16)));
typedef uint64_t Words __attribute__((vector_size(16)));
constexpr int MOST = 2;

inline Words ones(Words x) {
  x -= x >> 1 & 0x5555555555555555;
  x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
  x += x >> 8;
  x += x >> 16;
  return (x + (x >> 32)) & 0x7f;
}

}  // namespace

#include "cluster_attention/tile.inc"

extern const octavo::ClusterKernel cluster_attention_generic;
const octavo::ClusterKernel cluster_attention_generic = {assign, count, attend};
