#include <cstddef>

namespace {

constexpr size_t BYTES = 32;

}  // namespace

#include "pq_embedding/tile.inc"

extern const octavo::PqKernel pq_embedding_avx2;
const octavo::PqKernel pq_embedding_avx2 = {run};
