namespace {

typedef float Vector __attribute__((vector_size(64)));
typedef int Mask __attribute__((vector_size(64)));

}  // namespace

#include "fake_quant/tile.inc"

extern const octavo::FakeQuantKernel fake_quant_avx512;
const octavo::FakeQuantKernel fake_quant_avx512 = {forward, forward_each, backward, backward_each};
