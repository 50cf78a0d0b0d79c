#include "bit_pack/kernel.h"

#include "native.h"

OCTAVO_KERNEL(octavo::BitPackKernel, bit_pack)

static void run(const octavo::BitPackKernel& kernel, Case& c) {
  const int bits = 1 << c.size(0, 2);
  const bool is_signed = bits > 1 && c.chance(2), fits = !c.chance(4);
  const size_t rows = c.size(1, 5), n = c.seed ? c.size(1, 700) : size_t{1} << 20;
  const size_t row_bytes = (n * bits + 7) / 8;
  const int low = is_signed ? -(1 << (bits - 1)) : 0, high = low + (1 << bits) - 1;
  auto* codes = c.integers<uint8_t>(rows * n, low, high + !fits);
  auto* bytes = c.answer<uint8_t>(rows * row_bytes);
  auto* said = c.answer<uint8_t>(1);
  *said = octavo::bit_pack(kernel, {codes, bytes, rows, n, bits, is_signed, c.threads});
  auto* back = c.answer<uint8_t>(rows * n);
  octavo::bit_unpack(kernel, {back, bytes, rows, n, bits, is_signed, c.threads});
  if (fits) require(*said && !std::memcmp(back, codes, rows * n), "codes do not come back");
}

OCTAVO_CHECK(bit_pack, run)
