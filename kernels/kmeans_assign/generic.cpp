namespace {

typedef float Vector __attribute__((vector_size(16)));
typedef int Whole __attribute__((vector_size(16)));
constexpr int VECTORS = 2;

}  // namespace

#include "kmeans_assign/tile.inc"

extern const octavo::KmeansKernel kmeans_assign_generic;
const octavo::KmeansKernel kmeans_assign_generic = {descend, VECTORS * kLanes, nearest};
