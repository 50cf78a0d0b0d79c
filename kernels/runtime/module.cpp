// octavo.kernels._native: checks sizes, takes pointers, calls the table in use.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
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

// kernel, stride, padding, dilation of a convolution, two numbers each.
using Sizes = std::array<size_t, 8>;

Geometry geometry(const View& x, const View& out, bool channels_last, const Sizes& s) {
  require(x.dims == 4 && out.dims == 4 && x.shape[0] == out.shape[0], "x and out must be 4-D");
  const int tall = channels_last ? 1 : 2;
  return {size_t(x.shape[1]), size_t(x.shape[2]), size_t(x.shape[3]), s[0], s[1], s[2], s[3],
          s[4], s[5], s[6], s[7], size_t(out.shape[tall]), size_t(out.shape[tall + 1])};
}

struct Integers {
  const IntegerKernel& kernel;
  size_t step, per_byte;  // inputs of a packed step, codes a byte
};

// Check the packed weight against m rows of k inputs, and multiply.
void multiply(const Integers& kind, const float* x, const Geometry* patches, size_t m, size_t k,
              const View& codes, const View& scales, const View& bias, const View& out,
              size_t group, int threads) {
  const size_t n = out.last(), padded = (k + kind.step - 1) / kind.step * kind.step;
  const size_t panels = (n + kColumns - 1) / kColumns, groups = group ? (k + group - 1) / group : 1;
  const size_t panel_bytes = padded * kColumns / kind.per_byte;
  require(codes.count() == int64_t(panels * panel_bytes), "codes do not fit x and out");
  require(scales.count() == int64_t(panels * groups * kColumns), "scales do not fit x and out");
  require(!bias.data || bias.count() == int64_t(n), "bias does not fit out");
  integer_matmul(kind.kernel, {x, patches, m, k, n, padded, groups == 1 ? padded : group, groups,
                               panel_bytes, codes.as<uint8_t>(), scales.as<float>(),
                               bias.as<float>(), out.as<float>(), threads});
}

void matmul(const Integers& kind, nb::handle x_, nb::handle codes_, nb::handle scales_,
            nb::handle bias_, nb::handle out_, size_t group, int threads) {
  const View x = view(x_, 'f', 4), codes = view(codes_, 'u', 1), scales = view(scales_, 'f', 4);
  const View bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const size_t k = x.last(), m = out.count() / out.last();
  require(x.count() == int64_t(m * k), "x and out differ in rows");
  nb::gil_scoped_release free;
  multiply(kind, x.as<float>(), nullptr, m, k, codes, scales, bias, out, group, threads);
}

void int4_matmul(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
                 size_t group, int threads) {
  matmul({*in_use.int4, 8, 2}, x, codes, scales, bias, out, group, threads);
}

void int8_matmul(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
                 int threads) {
  matmul({*in_use.int8, 4, 1}, x, codes, scales, bias, out, 0, threads);
}

// out is (batch, out_tall, out_wide, n).
void int4_conv2d(nb::handle x_, nb::handle codes_, nb::handle scales_, nb::handle bias_,
                 nb::handle out_, size_t group, const Sizes& sizes, int threads) {
  const View x = view(x_, 'f', 4), codes = view(codes_, 'u', 1), scales = view(scales_, 'f', 4);
  const View bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const Geometry g = geometry(x, out, true, sizes);
  nb::gil_scoped_release free;
  const float* images = pad_images(g, x.as<float>(), x.shape[0], 2, threads);
  multiply({*in_use.int4, 8, 2}, images, &g, x.shape[0] * g.pixels(), g.patch(), codes, scales,
           bias, out, group, threads);
}

Csr csr(size_t n, size_t k, const View& values, const View& columns, const View& starts,
        const View& bias, size_t block) {
  const size_t blocks = (k + block - 1) / block;
  require(starts.count() == int64_t(blocks * (n + 1)), "starts do not fit x and out");
  require(values.count() == columns.count(), "values and columns differ in number");
  require(starts.as<int32_t>()[starts.count() - 1] == values.count(), "starts and values differ");
  require(!bias.data || bias.count() == int64_t(n), "bias does not fit out");
  return {n, k, block, blocks, size_t(values.count()), values.as<float>(), columns.as<uint8_t>(),
          starts.as<int32_t>(), bias.as<float>()};
}

void spmm(nb::handle x_, nb::handle values_, nb::handle columns_, nb::handle starts_,
          nb::handle bias_, nb::handle out_, size_t block, int threads) {
  const View x = view(x_, 'f', 4), values = view(values_, 'f', 4), columns = view(columns_, 'u', 1);
  const View starts = view(starts_, 'i', 4), bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const size_t m = out.count() / out.last();
  const Csr w = csr(out.last(), x.last(), values, columns, starts, bias, block);
  require(x.count() == int64_t(m * w.k), "x and out differ in rows");
  nb::gil_scoped_release free;
  csr_spmm(*in_use.csr, w, x.as<float>(), m, out.as<float>(), threads);
}

void sparse_conv2d(nb::handle x_, nb::handle values_, nb::handle columns_, nb::handle starts_,
                   nb::handle bias_, nb::handle out_, size_t block, const Sizes& sizes,
                   int threads) {
  const View x = view(x_, 'f', 4), values = view(values_, 'f', 4), columns = view(columns_, 'u', 1);
  const View starts = view(starts_, 'i', 4), bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const Geometry g = geometry(x, out, false, sizes);
  const Csr w = csr(out.shape[1], g.patch(), values, columns, starts, bias, block);
  nb::gil_scoped_release free;
  csr_conv2d(*in_use.csr, w, g, x.as<float>(), x.shape[0], out.as<float>(), threads);
}

void convolve(nb::handle x_, nb::handle values_, nb::handle filters_, nb::handle starts_,
              nb::handle bias_, nb::handle out_, const Sizes& sizes, int threads) {
  const View x = view(x_, 'f', 4), values = view(values_, 'f', 4), filters = view(filters_, 'i', 4);
  const View starts = view(starts_, 'i', 4), bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const Geometry g = geometry(x, out, false, sizes);
  require(starts.count() == int64_t(g.kernel_tall * g.kernel_wide + 1), "starts do not fit");
  require(starts.as<int32_t>()[starts.count() - 1] == filters.count(), "starts, filters differ");
  require(values.count() == int64_t(filters.count() * g.c), "values do not fit filters and x");
  require(!bias.data || bias.count() == out.shape[1], "bias does not fit out");
  nb::gil_scoped_release free;
  const Stripes stripes{size_t(out.shape[1]), values.as<float>(), filters.as<int32_t>(),
                        starts.as<int32_t>(), bias.as<float>()};
  stripe_conv2d(*in_use.stripes, g, stripes, x.as<float>(), x.shape[0], out.as<float>(), threads);
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
  const nb::arg must;
  const auto maybe = nb::arg().none();
  m.def("int4_matmul", int4_matmul, must, must, must, maybe, must, must, must);
  m.def("int4_conv2d", int4_conv2d, must, must, must, maybe, must, must, must, must);
  m.def("int8_matmul", int8_matmul, must, must, must, maybe, must, must);
  m.def("csr_spmm", spmm, must, must, must, must, maybe, must, must, must);
  m.def("csr_conv2d", sparse_conv2d, must, must, must, must, maybe, must, must, must, must);
  m.def("stripe_conv2d", convolve, must, must, must, must, maybe, must, must, must);
#define OCTAVO_BIND(operation) bind_##operation(m);
#include "bindings.inc"
}
