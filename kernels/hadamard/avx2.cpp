namespace {

typedef float Vector __attribute__((vector_size(32)));
constexpr int RADIX = 8;

}  // namespace

#include "hadamard/tile.inc"

extern const octavo::HadamardKernel hadamard_avx2;
const octavo::HadamardKernel hadamard_avx2 = {run};
