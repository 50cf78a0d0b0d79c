#include <nanobind/stl/array.h>

#include <array>

#include "adder_conv2d/kernel.h"
#include "runtime/bind.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::AdderKernel, adder_conv2d)

namespace octavo {
namespace {

using Sizes = std::array<size_t, 8>;  // kernel, stride, padding, dilation

Geometry geometry_of(const View& x, const View& y, const Sizes& s) {
  check(x.dims == 4 && y.dims == 4 && x.shape[0] == y.shape[0], "x and y must be 4-D");
  const Geometry g = {size_t(x.shape[1]), size_t(x.shape[2]), size_t(x.shape[3]), s[0], s[1], s[2],
                      s[3], s[4], s[5], s[6], s[7], size_t(y.shape[2]), size_t(y.shape[3])};
  check((g.out_tall - 1) * s[2] + (s[0] - 1) * s[6] < g.padded_tall() &&
            (g.out_wide - 1) * s[3] + (s[1] - 1) * s[7] < g.padded_wide(),
        "y does not fit x and the kernel");
  return g;
}

// The same view of (B, H, W, C) as (B, C, H, W).
View channels_first(View v) {
  check(v.dims == 4, "x and y must be 4-D");
  const int64_t tall = v.shape[1], wide = v.shape[2];
  v.shape[1] = v.shape[3], v.shape[2] = tall, v.shape[3] = wide;
  return v;
}

AdderCall call_of(const View& x, const View& weight, const View& y, const Sizes& s, int threads) {
  const Geometry g = geometry_of(x, y, s);
  check(weight.count() == int64_t(y.shape[1] * x.shape[1] * s[0] * s[1]), "weight does not fit");
  return {g, x.as<float>(), weight.as<float>(), nullptr, nullptr, size_t(x.shape[0]),
          size_t(y.shape[1]), nullptr, threads};
}

void forward(nb::handle x_, nb::handle weight_, nb::handle bias_, nb::handle out_,
             const Sizes& sizes, int threads) {
  const View x = view(x_, 'f', 4), weight = view(weight_, 'f', 4), bias = view(bias_, 'f', 4);
  const View out = view(out_, 'f', 4);
  if (!out.count()) return;
  AdderCall call = call_of(x, weight, out, sizes, threads);
  check(!bias.data || bias.count() == out.shape[1], "bias does not fit out");
  call.bias = bias.as<float>();
  call.out = out.as<float>();
  nb::gil_scoped_release free;
  adder_conv2d(adder_conv2d_in_use(), call);
}

void to_input(nb::handle grad_, nb::handle x_, nb::handle weight_, nb::handle to_x_,
              const Sizes& sizes, int threads) {
  const View x = view(x_, 'f', 4), weight = view(weight_, 'f', 4), grad = view(grad_, 'f', 4);
  const View to_x = view(to_x_, 'f', 4);
  if (!to_x.count()) return;
  AdderCall call = call_of(x, weight, grad, sizes, threads);
  check(to_x.count() == x.count(), "the gradient of x does not fit it");
  call.grad = grad.as<float>();
  call.out = to_x.as<float>();
  nb::gil_scoped_release free;
  adder_conv2d_to_input(adder_conv2d_in_use(), call);
}

// x and out are (B, H, W, C).
void of_codes(nb::handle x_, nb::handle codes_, nb::handle out_, int zero, const Sizes& sizes,
              int threads) {
  const View x = view(x_, 'u', 1), codes = view(codes_, 'u', 1), out = view(out_, 'i', 4);
  if (!out.count()) return;
  const Geometry g = geometry_of(channels_first(x), channels_first(out), sizes);
  const size_t n = out.last(), panels = (n + kAdderPanel - 1) / kAdderPanel;
  const size_t eights = (g.c + kAdderDeep - 1) / kAdderDeep;
  check(size_t(codes.count()) ==
            panels * kAdderPanel * g.kernel_tall * g.kernel_wide * eights * kAdderDeep,
        "codes do not fit x and out");
  nb::gil_scoped_release free;
  adder_conv2d_codes(adder_conv2d_in_use(), {g, x.as<uint8_t>(), codes.as<uint8_t>(),
                                             size_t(x.shape[0]), n, uint8_t(zero),
                                             out.as<int32_t>(), threads});
}

}  // namespace

void bind_adder_conv2d(nb::module_& m) {
  m.def("adder_conv2d", forward, nb::arg(), nb::arg(), nb::arg().none(), nb::arg(), nb::arg(),
        nb::arg());
  m.def("adder_conv2d_to_x", to_input);
  m.def("adder_conv2d_u8", of_codes);
}

}  // namespace octavo
