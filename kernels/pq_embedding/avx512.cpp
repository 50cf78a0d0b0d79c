#include <cstddef>

namespace {

constexpr size_t BYTES = 64;

}  // namespace

#include "pq_embedding/tile.inc"

extern const octavo::PqKernel pq_embedding_avx512;
const octavo::PqKernel pq_embedding_avx512 = {run};
