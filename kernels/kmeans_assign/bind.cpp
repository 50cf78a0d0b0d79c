#include "kmeans_assign/kernel.h"
#include "runtime/bind.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::KmeansKernel, kmeans_assign)

namespace octavo {
namespace {

// False: centroids that are numbers do not ascend, and nothing is written.
bool call(nb::handle x_, nb::handle centroids_, nb::handle codes_, int threads) {
  const View x = view(x_, 'f', 4), centroids = view(centroids_, 'f', 4);
  check((centroids.dims == 1 || centroids.dims == 2) && centroids.count(), "centroids are empty");
  const size_t k = centroids.shape[0], d = centroids.dims == 2 ? centroids.shape[1] : 0;
  const bool bytes = k <= 256;
  const View codes = bytes ? view(codes_, 'u', 1) : view(codes_, 'i', 4);
  const size_t n = codes.count();
  check(x.count() == int64_t(n * (d ? d : 1)), "x and codes differ in number");
  for (size_t i = 1; !d && i < k; ++i) {
    if (!(centroids.as<float>()[i - 1] <= centroids.as<float>()[i])) return false;
  }
  if (!n) return true;
  nb::gil_scoped_release free;
  kmeans_assign(kmeans_assign_in_use(),
                {x.as<float>(), n, d, centroids.as<float>(), k,
                 bytes ? codes.as<uint8_t>() : nullptr, bytes ? nullptr : codes.as<int32_t>(),
                 threads});
  return true;
}

}  // namespace

void bind_kmeans_assign(nb::module_& m) { m.def("kmeans_assign", call); }

}  // namespace octavo
