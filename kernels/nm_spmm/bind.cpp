#include "nm_spmm/kernel.h"
#include "runtime/bind_geometry.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::NmKernel, nm_spmm)

namespace octavo {
namespace {

// kept of each group with words in `places`; or kept 0, with columns in `places` and starts.
Nm weight(size_t n, size_t k, nb::handle values_, nb::handle index_, nb::handle starts_,
          const View& bias, size_t kept, size_t group) {
  const View values = view(values_, 'f', 4), places = view(index_, 'i', kept ? 4 : 2);
  const View starts = view(starts_, 'i', 4);
  Nm w{n, k, kept, group, values.as<float>(), nullptr, nullptr, nullptr, bias.as<float>()};
  check(!bias.data || bias.count() == int64_t(n), "bias does not fit out");
  if (kept) {
    check(group == 4 || group == 8 || group == 16, "groups are of 4, 8 or 16");
    check(kept <= group, "more kept than a group has");
    check(values.count() == int64_t(w.panels() * w.slots() * kPanel), "values do not fit");
    check(places.count() == int64_t(w.panels() * w.words_in_panel() * kPanel), "places does not fit");
    w.words = places.as<int32_t>();
    return w;
  }
  check(starts.count() == int64_t(w.blocks() * (w.panels() + 1)), "starts do not fit x and out");
  w.columns = places.as<int16_t>();
  w.starts = starts.as<int32_t>();
  check(int64_t(w.columns_in_all()) == places.count(), "starts and places differ");
  check(values.count() == places.count() * int64_t(kPanel), "values and places differ in number");
  return w;
}

void call(nb::handle x_, nb::handle values, nb::handle places, nb::handle starts, nb::handle bias_,
          nb::handle out_, size_t kept, size_t group, int threads) {
  const View x = view(x_, 'f', 4), bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const size_t m = out.count() / out.last();
  const Nm w = weight(out.last(), x.last(), values, places, starts, bias, kept, group);
  check(x.count() == int64_t(m * w.k), "x and out differ in rows");
  nb::gil_scoped_release free;
  nm_spmm(nm_spmm_in_use(), w, x.as<float>(), m, out.as<float>(), threads);
}

void convolve(nb::handle x_, nb::handle values, nb::handle places, nb::handle starts,
              nb::handle bias_, nb::handle out_, size_t kept, size_t group,
              const ConvolutionSizes& sizes, int threads) {
  const View x = view(x_, 'f', 4), bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const Geometry g = geometry(x, out, false, sizes);
  const Nm w = weight(out.shape[1], g.patch(), values, places, starts, bias, kept, group);
  nb::gil_scoped_release free;
  nm_conv2d(nm_spmm_in_use(), w, g, x.as<float>(), x.shape[0], out.as<float>(), threads);
}

}  // namespace

void bind_nm_spmm(nb::module_& m) {
  const nb::arg must;
  const auto maybe = nb::arg().none();
  m.def("nm_spmm", call, must, must, must, must, maybe, must, must, must, must);
  m.def("nm_conv2d", convolve, must, must, must, must, maybe, must, must, must, must, must);
}

}  // namespace octavo
