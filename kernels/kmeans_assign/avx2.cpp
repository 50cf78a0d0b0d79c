namespace {

typedef float Vector __attribute__((vector_size(32)));
typedef int Whole __attribute__((vector_size(32)));
constexpr int VECTORS = 2;

}  // namespace

#include "kmeans_assign/tile.inc"

extern const octavo::KmeansKernel kmeans_assign_avx2;
const octavo::KmeansKernel kmeans_assign_avx2 = {descend, VECTORS * kLanes, nearest};
