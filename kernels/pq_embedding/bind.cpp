#include "pq_embedding/kernel.h"
#include "runtime/bind.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::PqKernel, pq_embedding)

namespace octavo {
namespace {

// False: an id is outside the table, and nothing is written. Codes were checked when packed.
bool call(nb::handle ids_, nb::handle codes_, nb::handle books_, nb::handle out_, int threads) {
  const View ids = view(ids_, 'i', 8), codes = view(codes_, 'u', 1), books = view(books_, 'f', 4);
  const View out = view(out_, 'f', 4);
  check(codes.dims == 2 && books.dims == 3, "codes must be 2-D, books 3-D");
  check(codes.shape[1] == books.shape[0] && books.count(), "codes and books differ in groups");
  const size_t groups = books.shape[0], size = books.shape[1], piece = books.shape[2];
  check(out.count() == ids.count() * int64_t(groups * piece), "out does not fit ids and books");
  const auto* id = ids.as<int64_t>();
  for (int64_t i = 0; i < ids.count(); ++i) {
    if (id[i] < 0 || id[i] >= codes.shape[0]) return false;
  }
  nb::gil_scoped_release free;
  pq_embedding(pq_embedding_in_use(),
               {id, size_t(ids.count()), codes.as<uint8_t>(), books.as<float>(), groups, size,
                piece, out.as<float>(), size_t(out.count()) * sizeof(float)},
               threads);
  return true;
}

}  // namespace

void bind_pq_embedding(nb::module_& m) { m.def("pq_embedding", call); }

}  // namespace octavo
