namespace {

typedef float Vector __attribute__((vector_size(64)));
typedef int Bits __attribute__((vector_size(64)));
constexpr int MOST = 4;

}  // namespace

#include "block_attention/tile.inc"

extern const octavo::BlockKernel block_attention_avx512;
const octavo::BlockKernel block_attention_avx512 = {run_as<float>, run_as<uint16_t>};
