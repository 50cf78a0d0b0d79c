#include "integer.h"

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, int8_matmul)

static void run(const octavo::IntegerKernel& kernel, Case& c) {
  check_integer(kernel, c, {4, 1, false});
}

OCTAVO_CHECK(int8_matmul, run)
