namespace {

typedef float Vector __attribute__((vector_size(16)));
constexpr int RADIX = 8;

}  // namespace

#include "hadamard/tile.inc"

extern const octavo::HadamardKernel hadamard_neon;
const octavo::HadamardKernel hadamard_neon = {run};
