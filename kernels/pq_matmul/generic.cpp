#include "pq_matmul/tile.inc"

namespace {

using octavo::kPqPanel;
using octavo::PqFineSums;

void fine_sums(const PqFineSums& t) {
  std::memset(t.sums, 0, t.rows * kPqPanel * sizeof(int32_t));
  const uint8_t* table = t.tables;
  for (size_t r = 0; r < t.rows; ++r) {
    const uint8_t* codes = t.codes;
    for (size_t octet = 0; octet < t.octets; ++octet, table += kPqOctet * kPqEntries) {
      for (size_t at = 0; at < kPqPanel * 4; ++at, ++codes) {
        const uint8_t* low = table + at % 4 * kPqEntries;
        t.sums[r * kPqPanel + at / 4] += low[*codes & 15] + low[4 * kPqEntries + (*codes >> 4)];
      }
    }
  }
}

}  // namespace

extern const octavo::PqMatmulKernel pq_matmul_generic;
const octavo::PqMatmulKernel pq_matmul_generic = {fine_tables, fine_sums, wide_tables, wide_sums};
