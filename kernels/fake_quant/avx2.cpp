namespace {

typedef float Vector __attribute__((vector_size(32)));
typedef int Mask __attribute__((vector_size(32)));

}  // namespace

#include "fake_quant/tile.inc"

extern const octavo::FakeQuantKernel fake_quant_avx2;
const octavo::FakeQuantKernel fake_quant_avx2 = {forward, forward_each, backward, backward_each};
