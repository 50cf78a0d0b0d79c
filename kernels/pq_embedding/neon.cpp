#include <cstddef>

namespace {

constexpr size_t BYTES = 16;

}  // namespace

#include "pq_embedding/tile.inc"

extern const octavo::PqKernel pq_embedding_neon;
const octavo::PqKernel pq_embedding_neon = {run};
