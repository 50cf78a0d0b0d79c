#include "runtime/bind_geometry.h"
#include "runtime/bind_integer.h"

namespace nb = nanobind;

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, int4_matmul)

namespace octavo {
namespace {

IntegerKind kind() { return {int4_matmul_in_use(), 8, 2}; }

void call(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
          size_t group, int threads) {
  multiply_into(kind(), view(x, 'f', 4), integer_weight(codes, scales, bias, group),
                view(out, 'f', 4), threads);
}

// out is (batch, out_tall, out_wide, n).
void convolve(nb::handle x_, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out_,
              size_t group, const ConvolutionSizes& sizes, int threads) {
  const View x = view(x_, 'f', 4), out = view(out_, 'f', 4);
  const IntegerWeight w = integer_weight(codes, scales, bias, group);
  if (!out.count()) return;
  const Geometry g = geometry(x, out, true, sizes);
  nb::gil_scoped_release free;
  const float* images = pad_images(g, x.as<float>(), x.shape[0], 2, threads);
  multiply(kind(), images, &g, x.shape[0] * g.pixels(), g.patch(), w, out, threads);
}

void run(const Operands& o) { multiply_rows(kind(), o, o.sizes[2]); }

constexpr Product kProduct = {"int4_matmul", 2, {{'u', 1}, {'f', 4}}, 3, false, run};

}  // namespace

void bind_int4_matmul(nb::module_& m) {
  const nb::arg must;
  const auto maybe = nb::arg().none();
  bind_product<kProduct>(m);
  m.def("int4_matmul", call, must, must, must, maybe, must, must, must);
  m.def("int4_conv2d", convolve, must, must, must, maybe, must, must, must, must);
}

}  // namespace octavo
