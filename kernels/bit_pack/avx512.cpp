#include <cstddef>

namespace {

constexpr size_t WIDTH = 64;

}  // namespace

#include "bit_pack/tile.inc"

extern const octavo::BitPackKernel bit_pack_avx512;
const octavo::BitPackKernel bit_pack_avx512 = {pack, unpack};
