namespace {

typedef float Vector __attribute__((vector_size(64)));
constexpr int RADIX = 16;

}  // namespace

#include "hadamard/tile.inc"

extern const octavo::HadamardKernel hadamard_avx512;
const octavo::HadamardKernel hadamard_avx512 = {run};
