namespace {

typedef float Vector __attribute__((vector_size(16)));
constexpr int CHAINS = 10;

}  // namespace

#if defined(__aarch64__)
#define KEEP(v) asm volatile("" : "+w"(v))
#elif defined(__x86_64__)
#define KEEP(v) asm volatile("" : "+x"(v))
#else
#define KEEP(v) asm volatile("" : "+m"(v))
#endif

#include "roofline/tile.inc"

extern const octavo::RooflineKernel roofline_generic;
const octavo::RooflineKernel roofline_generic = {
    {{spin_fma, kFloatOperations}, {}, {spin_fadd, kFloatOperations}, {}, {}, {}}, read};
