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

template <class Code>
bool below(const Code* codes, size_t n, size_t k) {
  Code most = 0, least = 0;
  for (size_t i = 0; i < n; ++i) {
    most = codes[i] > most ? codes[i] : most;
    least = codes[i] < least ? codes[i] : least;
  }
  return size_t(most) < k && !(least < 0);
}

// False: a code has no centroid, and nothing is written. sums (k, d + 1) must be zeros.
bool sums(nb::handle x_, nb::handle codes_, nb::handle weights_, nb::handle sums_, bool bytes,
          int threads) {
  const View x = view(x_, 'f', 4), weights = view(weights_, 'f', 4), sums = view(sums_, 'f', 8);
  const View codes = bytes ? view(codes_, 'u', 1) : view(codes_, 'i', 4);
  check(sums.dims == 2 && sums.count() && sums.shape[1] > 1, "sums must be (k, d + 1)");
  const size_t k = sums.shape[0], d = sums.shape[1] - 1, n = codes.count();
  check(size_t(x.count()) == n * d, "x and codes differ in number");
  check(!weights.data || size_t(weights.count()) == n, "weights and codes differ in number");
  const auto* byte = bytes ? codes.as<uint8_t>() : nullptr;
  const auto* word = bytes ? nullptr : codes.as<int32_t>();
  if (!(bytes ? below(byte, n, k) : below(word, n, k))) return false;
  nb::gil_scoped_release free;
  kmeans_sums({x.as<float>(), weights.as<float>(), n, d, byte, word, k, sums.as<double>(),
               threads});
  return true;
}

}  // namespace

void bind_kmeans_assign(nb::module_& m) {
  m.def("kmeans_assign", call);
  m.def("kmeans_sums", sums, nb::arg(), nb::arg(), nb::arg().none(), nb::arg(), nb::arg(),
        nb::arg());
}

}  // namespace octavo
