#include "csr_spmm/kernel.h"
#include "runtime/bind_geometry.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::CsrKernel, csr_spmm)

namespace octavo {
namespace {

Csr weight(size_t n, size_t k, const View& values, const View& columns, const View& starts,
           const View& bias, size_t block) {
  const size_t blocks = (k + block - 1) / block;
  check(starts.count() == int64_t(blocks * (n + 1)), "starts do not fit x and out");
  check(values.count() == columns.count(), "values and columns differ in number");
  check(starts.as<int32_t>()[starts.count() - 1] == values.count(), "starts and values differ");
  check(!bias.data || bias.count() == int64_t(n), "bias does not fit out");
  return {n, k, block, blocks, size_t(values.count()), values.as<float>(), columns.as<uint8_t>(),
          starts.as<int32_t>(), bias.as<float>()};
}

void run(const Operands& o) {
  const Csr w = weight(o.n(), o.k(), o.tables[0], o.tables[1], o.tables[2], o.bias, o.sizes[2]);
  check(o.x.count() == int64_t(o.rows() * w.k), "x and out differ in rows");
  csr_spmm(csr_spmm_in_use(), w, o.x.as<float>(), o.rows(), o.out.as<float>(), o.threads);
}

constexpr Product kProduct = {"csr_spmm", 3, {{'f', 4}, {'u', 1}, {'i', 4}}, 3, false, run};

void call(nb::handle x_, nb::handle values, nb::handle columns, nb::handle starts, nb::handle bias,
          nb::handle out_, size_t block, int threads) {
  const View x = view(x_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const Operands o = {x, view(bias, 'f', 4), out, {},
                      {view(values, 'f', 4), view(columns, 'u', 1), view(starts, 'i', 4)},
                      {size_t(out.last()), size_t(x.last()), block}, threads};
  nb::gil_scoped_release free;
  run(o);
}

void convolve(nb::handle x_, nb::handle values_, nb::handle columns_, nb::handle starts_,
              nb::handle bias_, nb::handle out_, size_t block, const ConvolutionSizes& sizes,
              int threads) {
  const View x = view(x_, 'f', 4), values = view(values_, 'f', 4), columns = view(columns_, 'u', 1);
  const View starts = view(starts_, 'i', 4), bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const Geometry g = geometry(x, out, false, sizes);
  const Csr w = weight(out.shape[1], g.patch(), values, columns, starts, bias, block);
  nb::gil_scoped_release free;
  csr_conv2d(csr_spmm_in_use(), w, g, x.as<float>(), x.shape[0], out.as<float>(), threads);
}

}  // namespace

void bind_csr_spmm(nb::module_& m) {
  const nb::arg must;
  const auto maybe = nb::arg().none();
  bind_product<kProduct>(m);
  m.def("csr_spmm", call, must, must, must, must, maybe, must, must, must);
  m.def("csr_conv2d", convolve, must, must, must, must, maybe, must, must, must, must);
}

}  // namespace octavo
