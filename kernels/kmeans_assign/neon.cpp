namespace {

typedef float Vector __attribute__((vector_size(16)));
typedef int Whole __attribute__((vector_size(16)));
constexpr int VECTORS = 4;

}  // namespace

#include "kmeans_assign/tile.inc"

extern const octavo::KmeansKernel kmeans_assign_neon;
const octavo::KmeansKernel kmeans_assign_neon = {descend, VECTORS * kLanes, nearest};
