// octavo.kernels._native: checks sizes, takes pointers, calls the table in use.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "runtime/arena.h"
#include "runtime/dispatch.h"
#include "runtime/dlpack.h"
#include "runtime/isa.h"

// Operations that bind themselves: those with a bind.cpp, listed by the build.
#define OCTAVO_BIND(operation) namespace octavo { void bind_##operation(nanobind::module_&); }
#include "bindings.inc"
#undef OCTAVO_BIND

namespace nb = nanobind;
using namespace octavo;

namespace {

Table in_use = tables().front();

void use(const std::string& name) {
  for (const Table& table : tables()) {
    if (name == table.name) {
      in_use = table;
      isa_in_use = name == "avx512" ? Isa::avx512 : name == "avx2" ? Isa::avx2 : Isa::generic;
      return;
    }
  }
  throw nb::value_error(("no backend " + name).c_str());
}

void require(bool fits, const char* what) {
  if (!fits) throw nb::value_error(what);
}

void multiply(const IntegerKernel& kernel, int step, int per_byte, nb::handle x_, nb::handle codes_,
              nb::handle scales_, nb::handle bias_, nb::handle out_, int64_t group, int threads) {
  const View x = view(x_, 'f', 4), codes = view(codes_, 'u', 1), scales = view(scales_, 'f', 4);
  const View bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const size_t k = x.last(), n = out.last(), m = out.count() / n;
  const size_t padded = (k + step - 1) / step * step, panels = (n + kColumns - 1) / kColumns;
  if (!group) group = k;
  const size_t groups = (k + group - 1) / group;
  const size_t stride = groups == 1 ? padded : group;
  const size_t panel_bytes = padded * kColumns / per_byte;
  require(x.count() == int64_t(m * k), "x and out differ in rows");
  require(codes.count() == int64_t(panels * panel_bytes), "codes do not fit x and out");
  require(scales.count() == int64_t(panels * groups * kColumns), "scales do not fit x and out");
  require(!bias.data || bias.count() == int64_t(n), "bias does not fit out");
  nb::gil_scoped_release free;
  integer_matmul(kernel, {x.as<float>(), m, k, n, padded, stride, groups, panel_bytes,
                          codes.as<uint8_t>(), scales.as<float>(), bias.as<float>(),
                          out.as<float>(), threads});
}

void int4_matmul(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
                 int64_t group, int threads) {
  multiply(*in_use.int4, 8, 2, x, codes, scales, bias, out, group, threads);
}

void int8_matmul(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
                 int threads) {
  multiply(*in_use.int8, 4, 1, x, codes, scales, bias, out, 0, threads);
}

void spmm(nb::handle x_, nb::handle values_, nb::handle columns_, nb::handle starts_,
          nb::handle bias_, nb::handle out_, int64_t block, int threads) {
  const View x = view(x_, 'f', 4), values = view(values_, 'f', 4), columns = view(columns_, 'u', 1);
  const View starts = view(starts_, 'i', 4), bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const size_t k = x.last(), n = out.last(), m = out.count() / n;
  const size_t blocks = (k + block - 1) / block;
  require(x.count() == int64_t(m * k), "x and out differ in rows");
  require(starts.count() == int64_t(blocks * (n + 1)), "starts do not fit x and out");
  require(values.count() == columns.count(), "values and columns differ in number");
  require(starts.as<int32_t>()[starts.count() - 1] == values.count(), "starts and values differ");
  require(!bias.data || bias.count() == int64_t(n), "bias does not fit out");
  nb::gil_scoped_release free;
  csr_spmm(*in_use.csr, {x.as<float>(), m, k, n, size_t(block), blocks, size_t(values.count()),
                         values.as<float>(), columns.as<uint8_t>(), starts.as<int32_t>(),
                         bias.as<float>(), out.as<float>(), threads});
}

void convolve(nb::handle x_, nb::handle values_, nb::handle filters_, nb::handle starts_,
              nb::handle bias_, nb::handle out_, size_t kernel_tall, size_t kernel_wide,
              size_t stride_tall, size_t stride_wide, size_t padding_tall, size_t padding_wide,
              size_t dilation_tall, size_t dilation_wide, int threads) {
  const View x = view(x_, 'f', 4), values = view(values_, 'f', 4), filters = view(filters_, 'i', 4);
  const View starts = view(starts_, 'i', 4), bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  require(x.dims == 4 && out.dims == 4 && x.shape[0] == out.shape[0], "x and out must be 4-D");
  require(starts.count() == int64_t(kernel_tall * kernel_wide + 1), "starts do not fit the kernel");
  require(starts.as<int32_t>()[starts.count() - 1] == filters.count(), "starts, filters differ");
  require(values.count() == filters.count() * x.shape[1], "values do not fit filters and x");
  require(!bias.data || bias.count() == out.shape[1], "bias does not fit out");
  nb::gil_scoped_release free;
  stripe_conv2d(*in_use.stripes,
                {x.as<float>(), size_t(x.shape[0]), size_t(out.shape[1]), size_t(x.shape[1]),
                 size_t(x.shape[2]), size_t(x.shape[3]), kernel_tall, kernel_wide, stride_tall,
                 stride_wide, padding_tall, padding_wide, dilation_tall, dilation_wide,
                 size_t(out.shape[2]), size_t(out.shape[3]), values.as<float>(),
                 filters.as<int32_t>(), starts.as<int32_t>(), bias.as<float>(), out.as<float>(),
                 threads});
}

nb::ndarray<nb::pytorch, uint8_t, nb::ndim<1>> arena(size_t bytes) {
  void* piece = arena_take(bytes);
  nb::capsule owner(piece, [](void* p) noexcept { arena_give(p); });
  return {static_cast<uint8_t*>(piece), {bytes}, owner};
}

std::vector<std::string> backends() {
  std::vector<std::string> names;
  for (const Table& table : tables()) names.push_back(table.name);
  return names;
}

}  // namespace

NB_MODULE(_native, m) {
  m.def("backends", backends);
  m.def("cpu_flags", cpu_flags);
  m.def("use", use);
  m.def("arena", arena);
  m.def("int4_matmul", int4_matmul, nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(),
        nb::arg(), nb::arg());
  m.def("int8_matmul", int8_matmul, nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(),
        nb::arg());
  m.def("csr_spmm", spmm, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(),
        nb::arg(), nb::arg());
  m.def("stripe_conv2d", convolve, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
        nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg(), nb::arg());
#define OCTAVO_BIND(operation) bind_##operation(m);
#include "bindings.inc"
}
