namespace {

typedef float Vector __attribute__((vector_size(64)));
typedef int Whole __attribute__((vector_size(64)));
constexpr int VECTORS = 4;

}  // namespace

#include "kmeans_assign/tile.inc"

extern const octavo::KmeansKernel kmeans_assign_avx512;
const octavo::KmeansKernel kmeans_assign_avx512 = {descend, VECTORS * kLanes, nearest};
