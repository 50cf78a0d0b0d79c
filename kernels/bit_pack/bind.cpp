#include "bit_pack/kernel.h"
#include "runtime/bind.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::BitPackKernel, bit_pack)

namespace octavo {
namespace {

BitPackCall call_of(const View& codes, const View& bytes, int bits, bool is_signed, int threads) {
  check(bits == 1 || bits == 2 || bits == 4, "bits must be 1, 2 or 4");
  const size_t n = codes.last(), each = 8 / bits, rows = codes.count() / n;
  check(bytes.count() == int64_t(rows * ((n + each - 1) / each)), "bytes do not fit codes");
  return {codes.as<uint8_t>(), bytes.as<uint8_t>(), rows, n, bits, is_signed, threads};
}

// False: a code is out of range.
bool pack(nb::handle codes_, nb::handle bytes_, int bits, bool is_signed, int threads) {
  const View codes = view(codes_, is_signed ? 'i' : 'u', 1), bytes = view(bytes_, 'u', 1);
  if (!codes.count()) return true;
  const BitPackCall call = call_of(codes, bytes, bits, is_signed, threads);
  nb::gil_scoped_release free;
  return bit_pack(bit_pack_in_use(), call);
}

void unpack(nb::handle bytes_, nb::handle codes_, int bits, bool is_signed, int threads) {
  const View codes = view(codes_, is_signed ? 'i' : 'u', 1), bytes = view(bytes_, 'u', 1);
  if (!codes.count()) return;
  const BitPackCall call = call_of(codes, bytes, bits, is_signed, threads);
  nb::gil_scoped_release free;
  bit_unpack(bit_pack_in_use(), call);
}

}  // namespace

void bind_bit_pack(nb::module_& m) {
  m.def("bit_pack", pack);
  m.def("bit_unpack", unpack);
}

}  // namespace octavo
