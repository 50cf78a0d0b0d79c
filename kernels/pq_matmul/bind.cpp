#include "pq_matmul/kernel.h"
#include "runtime/bind.h"

namespace nb = nanobind;

OCTAVO_VBMI_KERNEL(octavo::PqMatmulKernel, pq_matmul)

namespace octavo {
namespace {

// Codes of four dimensions are of 4 bits, in panels; of three, of 8 bits. They were checked when
// packed.
void call(nb::handle x_, nb::handle codes_, nb::handle books_, nb::handle bias_, nb::handle out_,
          int threads) {
  const View x = view(x_, 'f', 4), codes = view(codes_, 'u', 1), books = view(books_, 'f', 4);
  const View bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  check(books.dims == 3 && books.count(), "books must be 3-D");
  const size_t n = out.last();
  const PqMatmulCall c = {x.as<float>(), codes.as<uint8_t>(), books.as<float>(), bias.as<float>(),
                          size_t(out.count()) / n, n, size_t(books.shape[0]),
                          size_t(books.shape[1]), size_t(books.shape[2]), out.as<float>(), threads};
  const bool fine = codes.dims == 4;
  const size_t panels = (n + kPqPanel - 1) / kPqPanel;
  check(c.size % kPqEntries == 0 && c.size <= kPqWide && (!fine || c.size == kPqEntries), "books are not padded");
  check(size_t(codes.count()) == c.octets() * (fine ? panels * kPqPanel * 4 : n * kPqOctet),
        "codes do not fit books and out");
  check(size_t(x.count()) == c.m * c.groups * c.piece, "x does not fit books and out");
  check(!bias.data || size_t(bias.count()) == n, "bias does not fit out");
  nb::gil_scoped_release free;
  (fine ? pq_matmul_fine : pq_matmul_wide)(pq_matmul_in_use(), c);
}

}  // namespace

void bind_pq_matmul(nb::module_& m) {
  m.def("pq_matmul", call, nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(),
        nb::arg());
}

}  // namespace octavo
