namespace {

typedef float Vector __attribute__((vector_size(32)));
typedef int Bits __attribute__((vector_size(32)));
constexpr int MOST = 2;

}  // namespace

#include "block_attention/tile.inc"

extern const octavo::BlockKernel block_attention_avx2;
const octavo::BlockKernel block_attention_avx2 = {run_as<float>, run_as<uint16_t>};
