#include "runtime/registered.h"

#include <nanobind/nanobind.h>

#include <map>
#include <stdexcept>

#if defined(__linux__) || defined(__APPLE__)
#include <dlfcn.h>
#endif

namespace nb = nanobind;

namespace octavo {
namespace {

using Tensor = struct Opaque*;
using Library = struct OpaqueLibrary*;

#ifdef __APPLE__
constexpr const char* kLibrary = "libtorch_cpu.dylib";
#else
constexpr const char* kLibrary = "libtorch_cpu.so";
#endif

void* symbol(const char* name) {
#if defined(__linux__) || defined(__APPLE__)
  static void* const torch = dlopen(kLibrary, RTLD_LAZY | RTLD_NOLOAD);  // it is loaded, or absent
  return torch ? dlsym(torch, name) : nullptr;
#else
  return nullptr;
#endif
}

// What is used of torch's stable C interface (torch/csrc/stable/c/shim.h, torch 2.10 and later).
// A status of 0 is success; a tensor that is given or returned is owned.
struct Shim {
  bool whole = true;

  template <class F>
  F* find(const char* name) {
    F* const found = reinterpret_cast<F*>(symbol(name));
    whole = whole && found;
    return found;
  }

#define OCTAVO_SHIM(result, name, ...) \
  result (*name)(__VA_ARGS__) = find<result(__VA_ARGS__)>("aoti_torch_" #name);
  OCTAVO_SHIM(int32_t, library_init_impl, const char*, const char*, const char*, uint32_t, Library*)
  OCTAVO_SHIM(int32_t, library_impl, Library, const char*, Boxed)
  OCTAVO_SHIM(int32_t, call_dispatcher, const char*, const char*, uint64_t*)
  OCTAVO_SHIM(int32_t, get_data_ptr, Tensor, void**)
  OCTAVO_SHIM(int32_t, get_dim, Tensor, int64_t*)
  OCTAVO_SHIM(int32_t, get_dtype, Tensor, int32_t*)
  OCTAVO_SHIM(int32_t, get_numel, Tensor, int64_t*)
  OCTAVO_SHIM(int32_t, get_sizes, Tensor, int64_t**)
  OCTAVO_SHIM(int32_t, is_contiguous, Tensor, bool*)
  OCTAVO_SHIM(int32_t, delete_tensor_object, Tensor)
  OCTAVO_SHIM(int32_t, empty_strided, int64_t, const int64_t*, const int64_t*, int32_t, int32_t,
              int32_t, Tensor*)
  OCTAVO_SHIM(bool, grad_mode_is_enabled)
  OCTAVO_SHIM(int32_t, device_type_cpu)
  OCTAVO_SHIM(int32_t, dtype_float32)
  OCTAVO_SHIM(int32_t, dtype_int32)
  OCTAVO_SHIM(int32_t, dtype_uint8)
#undef OCTAVO_SHIM
  int32_t (*threads)(uint32_t*) = find<int32_t(uint32_t*)>("torch_get_num_threads");
  const char* (*what)() = reinterpret_cast<const char* (*)()>(symbol("torch_exception_get_what"));
  // Torch's own numbers for these; they may change with its version.
  const int32_t cpu = whole ? device_type_cpu() : 0, float32 = whole ? dtype_float32() : 0;
  const int32_t int32 = whole ? dtype_int32() : 0, uint8 = whole ? dtype_uint8() : 0;
};

const Shim& shim() {
  static const Shim only;
  return only;
}

void must(int32_t status, const char* what) {
  if (status != 0) throw nb::value_error(what);
}

// A tensor that is let go of at the end.
struct Held {
  Tensor tensor = nullptr;

  explicit Held(Tensor tensor) : tensor(tensor) {}
  Held(const Held&) = delete;
  ~Held() {
    if (tensor) shim().delete_tensor_object(tensor);
  }
};

// An optional tensor is a word on the heap, or nothing.
Tensor taken(uint64_t word) {
  if (!word) return nullptr;
  auto* const inner = reinterpret_cast<uint64_t*>(word);
  const auto tensor = reinterpret_cast<Tensor>(*inner);
  delete inner;
  return tensor;
}

int32_t dtype_of(Element e) {
  return e.kind == 'f' ? shim().float32 : e.kind == 'i' ? shim().int32 : shim().uint8;
}

bool contiguous(Tensor tensor) {
  bool yes = false;
  return shim().is_contiguous(tensor, &yes) == 0 && yes;
}

// Make it a tensor of the same values without gaps.
void close_gaps(Held& held) {
  if (!held.tensor || contiguous(held.tensor)) return;
  uint64_t stack[2] = {reinterpret_cast<uint64_t>(held.tensor), 0};  // 0: the usual order
  held.tensor = nullptr;
  must(shim().call_dispatcher("aten::contiguous", "", stack), "native kernel: no memory for x");
  held.tensor = reinterpret_cast<Tensor>(stack[0]);
}

// Where a tensor without gaps lies, and how many elements it has. It is on the CPU: torch calls
// another kernel for a tensor that is not.
View flat(const Held& held, Element element) {
  View v;
  if (!held.tensor) return v;
  const Shim& t = shim();
  int32_t dtype = 0;
  must(t.get_dtype(held.tensor, &dtype), "native kernel: tensor has no dtype");
  must(dtype != dtype_of(element), "native kernel: tensor has another dtype");
  must(t.get_data_ptr(held.tensor, reinterpret_cast<void**>(&v.data)) ||
       t.get_numel(held.tensor, v.shape), "native kernel: tensor has no memory");
  v.dims = 1;
  return v;
}

View table(const Held& held, Element element) {
  must(!contiguous(held.tensor), "native kernel: tensor is not contiguous");
  return flat(held, element);
}

// The same with its shape.
View shaped(const Held& held, Element element) {
  View v = flat(held, element);
  int64_t dims = 0, *shape = nullptr;
  must(shim().get_dim(held.tensor, &dims) || shim().get_sizes(held.tensor, &shape) || dims > 8,
       "native kernel: tensor has more than 8 dimensions");
  for (v.dims = 0; v.dims < dims; ++v.dims) v.shape[v.dims] = shape[v.dims];
  return v;
}

// A new float32 tensor of the shape of v, which then is its view.
Tensor empty(View* v) {
  int64_t strides[8], step = 1;
  for (int i = v->dims - 1; i >= 0; --i) {
    strides[i] = step;
    step *= v->shape[i] > 1 ? v->shape[i] : 1;
  }
  Tensor made = nullptr;
  const Shim& t = shim();
  must(t.empty_strided(v->dims, v->shape, strides, t.float32, t.cpu, 0, &made) ||
       t.get_data_ptr(made, reinterpret_cast<void**>(&v->data)), "native kernel: no memory");
  return made;
}

struct Offered {
  Boxed run, route;
  std::string forward, autograd;  // the operations that route chooses from
};

std::map<std::string, Offered>& offered() {
  static std::map<std::string, Offered> all;
  return all;
}

// Make `kernel` torch's for octavo::<name> under a dispatch key.
bool implement(const char* key, const std::string& name, Boxed kernel) {
  Library library = nullptr;  // never let go of: that would take the kernel back
  return shim().library_init_impl("octavo", key, __FILE__, __LINE__, &library) == 0 &&
         shim().library_impl(library, name.c_str(), kernel) == 0;
}

}  // namespace

void run_boxed(const Product& product, uint64_t* stack) {
  const auto tensor = [&](int i) { return reinterpret_cast<Tensor>(stack[i]); };
  const int tables = product.tables;
  Held x(tensor(0)), one(tensor(1)), two(tensor(2)), three(tables > 2 ? tensor(3) : nullptr);
  Held bias(taken(stack[1 + tables]));
  Held step(product.takes_step ? taken(stack[2 + tables + product.sizes]) : nullptr);
  close_gaps(x), close_gaps(bias);
  const Held* const held[] = {&one, &two, &three};
  Operands o = {shaped(x, {'f', 4}), flat(bias, {'f', 4}), {}, flat(step, {'f', 4}), {}, {},
                threads_of_torch()};
  for (int i = 0; i < tables; ++i) o.tables[i] = table(*held[i], product.elements[i]);
  for (int i = 0; i < product.sizes; ++i) o.sizes[i] = stack[2 + tables + i];
  must(step.tensor && !step_fits(o.step), "native kernel: step is not one positive float32");
  must(!o.x.dims || size_t(o.x.last()) != o.k(), "native kernel: x does not fit the weight");
  o.out = o.x;
  o.out.shape[o.x.dims - 1] = int64_t(o.n());
  Held out(empty(&o.out));
  if (o.out.count()) product.run(o);
  stack[0] = reinterpret_cast<uint64_t>(out.tensor);
  out.tensor = nullptr;
}

void route_boxed(const Product& product, uint64_t* stack) {
  const Offered& o = offered().find(product.name)->second;
  const std::string& name = shim().grad_mode_is_enabled() ? o.autograd : o.forward;
  if (shim().call_dispatcher(name.c_str(), "", stack) == 0) return;
  throw std::runtime_error(shim().what ? shim().what() : name + " failed; see standard error");
}

void offer(const Product& product, Boxed run, Boxed route) {
  const std::string name = std::string("octavo::") + product.name;
  offered()[product.name] = {run, route, name + "_forward", name + "_autograd"};
}

bool give_to_torch(const std::string& name) {
  const auto found = offered().find(name);
  if (!shim().whole || found == offered().end()) return false;
  const Offered& o = found->second;
  return implement("CPU", name, o.run) && implement("CPU", name + "_forward", o.run) &&
         implement("CPU", name + "_autograd", o.run) && implement("Autograd", name, o.route);
}

int threads_of_torch() {
  if (uint32_t count = 1; shim().threads && shim().threads(&count) == 0) return int(count);
  return nb::cast<int>(nb::module_::import_("torch").attr("get_num_threads")());
}

}  // namespace octavo
