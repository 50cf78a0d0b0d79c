#include "runtime/bind_geometry.h"
#include "stripe_conv2d/kernel.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::StripeKernel, stripe_conv2d)

namespace octavo {
namespace {

void call(nb::handle x_, nb::handle values_, nb::handle filters_, nb::handle starts_,
          nb::handle bias_, nb::handle out_, const ConvolutionSizes& sizes, int threads) {
  const View x = view(x_, 'f', 4), values = view(values_, 'f', 4), filters = view(filters_, 'i', 4);
  const View starts = view(starts_, 'i', 4), bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const Geometry g = geometry(x, out, false, sizes);
  check(starts.count() == int64_t(g.kernel_tall * g.kernel_wide + 1), "starts do not fit");
  check(starts.as<int32_t>()[starts.count() - 1] == filters.count(), "starts, filters differ");
  check(values.count() == int64_t(filters.count() * g.c), "values do not fit filters and x");
  check(!bias.data || bias.count() == out.shape[1], "bias does not fit out");
  const Stripes stripes{size_t(out.shape[1]), values.as<float>(), filters.as<int32_t>(),
                        starts.as<int32_t>(), bias.as<float>()};
  nb::gil_scoped_release free;
  stripe_conv2d(stripe_conv2d_in_use(), g, stripes, x.as<float>(), x.shape[0], out.as<float>(),
                threads);
}

}  // namespace

void bind_stripe_conv2d(nb::module_& m) {
  const nb::arg must;
  m.def("stripe_conv2d", call, must, must, must, must, nb::arg().none(), must, must, must);
}

}  // namespace octavo
