#include "integer.h"

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, int4_matmul)

static void run(const octavo::IntegerKernel& kernel, Case& c) {
  check_integer(kernel, c, {8, 2, true});
}

OCTAVO_CHECK(int4_matmul, run)
