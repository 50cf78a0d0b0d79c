#include "block_attention/kernel.h"
#include "runtime/bind.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::BlockKernel, block_attention)

namespace octavo {
namespace {

// A list that came from a gate or a file may say anything: nothing past the keys may be read.
bool list_fits(const View& indptr, const View& indices, size_t lists, size_t rows, size_t blocks) {
  const int32_t *at = indptr.as<int32_t>(), *index = indices.as<int32_t>();
  const int64_t kept = indices.count();
  bool fits = true;
  for (size_t list = 0; list < lists; ++list, at += rows + 1) {
    fits &= at[0] >= 0 && at[rows] <= kept;
    for (size_t i = 0; i < rows; ++i) fits &= at[i] <= at[i + 1];
  }
  for (int64_t i = 0; i < kept; ++i) fits &= index[i] >= 0 && size_t(index[i]) < blocks;
  return fits;
}

// half: q, k, v and out are bfloat16, given as int16. False: the list names a block that is not
// there, and nothing is written.
bool call(nb::handle q_, nb::handle k_, nb::handle v_, nb::handle indptr_, nb::handle indices_,
          nb::handle lengths_, nb::handle out_, size_t size, float scale, bool causal, bool half,
          int threads) {
  const char kind = half ? 'i' : 'f';
  const int bytes = half ? 2 : 4;
  const View q = view(q_, kind, bytes), k = view(k_, kind, bytes), v = view(v_, kind, bytes);
  const View out = view(out_, kind, bytes), lengths = view(lengths_, 'i', 4);
  const View indptr = view(indptr_, 'i', 4), indices = view(indices_, 'i', 4);
  if (!out.count()) return true;
  check(q.dims == 4 && k.dims == 4 && q.count() == out.count() && k.count() == v.count() &&
            k.shape[0] == q.shape[0] && k.shape[1] == q.shape[1] && k.shape[3] == q.shape[3],
        "q, k, v and out do not fit");
  check(size >= 1 && size <= kTileKeys, "the block size must be 1 to 128");
  check(!lengths.data || lengths.count() == q.shape[0], "lengths do not fit q");
  const size_t batch = q.shape[0], heads = q.shape[1], queries = q.shape[2], keys = k.shape[2];
  const size_t rows = (queries + size - 1) / size, lists = indptr.count() / (rows + 1);
  check(indptr.last() == int64_t(rows + 1) &&
            (lists == 1 || lists == heads || lists == batch * heads),
        "indptr does not fit q");
  if (!list_fits(indptr, indices, lists, rows, (keys + size - 1) / size)) return false;
  for (size_t b = 0; lengths.data && b < batch; ++b) {
    check(lengths.as<int32_t>()[b] >= 0, "a length is negative");
  }
  nb::gil_scoped_release free;
  block_attention(block_attention_in_use(),
                  {q.data, k.data, v.data, out.data, half, batch, heads, queries, keys,
                   size_t(q.shape[3]), indptr.as<int32_t>(), indices.as<int32_t>(), lists, size,
                   lengths.as<int32_t>(), scale, causal, threads});
  return true;
}

}  // namespace

void bind_block_attention(nb::module_& m) {
  m.def("block_attention", call, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg());
}

}  // namespace octavo
