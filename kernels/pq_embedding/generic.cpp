#include <cstddef>

namespace {

constexpr size_t BYTES = 16;

}  // namespace

#include "pq_embedding/tile.inc"

extern const octavo::PqKernel pq_embedding_generic;
const octavo::PqKernel pq_embedding_generic = {run};
