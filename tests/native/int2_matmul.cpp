#include "integer.h"

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, int2_matmul)

static void run(const octavo::IntegerKernel& kernel, Case& c) {
  check_integer(kernel, c, {16, 4, true});
}

OCTAVO_CHECK(int2_matmul, run)
