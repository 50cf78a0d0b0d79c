#include "runtime/dlpack.h"

#include <string>

namespace nb = nanobind;

namespace octavo {
namespace {

struct DlDevice {
  int32_t type, id;
};

struct DlTensor {
  void* data;
  DlDevice device;
  int32_t ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};

// A tensor that owns its memory.
struct DlOwned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(DlOwned*);
  uint64_t flags;
  DlTensor tensor;
};

struct DlExchange {
  uint32_t major, minor;
  void* older;
  int (*allocate)(const DlTensor* like, DlOwned** out, void* context,
                  void (*fail)(void* context, const char* kind, const char* message));
  void* owned_from_object;  // not used here
  int (*object_from_owned)(DlOwned* tensor, void** object);
  int (*borrow)(void* object, DlTensor* out);
  void* work_stream;
};

constexpr int32_t kCpu = 1;
constexpr uint32_t kMajor = 1;

const DlExchange* look_up(PyTypeObject* type) {
  const auto name = "__dlpack_c_exchange_api__";
  nb::object capsule = nb::getattr(nb::handle(reinterpret_cast<PyObject*>(type)), name, nb::none());
  if (!PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) return nullptr;
  void* found = PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api");
  const auto* table = static_cast<const DlExchange*>(found);
  return table->major == kMajor ? table : nullptr;
}

// The exchange table of a tensor's type, remembered for the first few types (Tensor, Parameter).
const DlExchange* exchange_of(nb::handle tensor) {
  static struct {
    PyTypeObject* type;
    const DlExchange* table;
  } known[4];
  PyTypeObject* type = Py_TYPE(tensor.ptr());
  for (auto& entry : known) {
    if (entry.type == type) return entry.table;
    if (!entry.type) {
      entry.table = look_up(type);
      Py_INCREF(reinterpret_cast<PyObject*>(type));
      entry.type = type;
      return entry.table;
    }
  }
  return look_up(type);
}

[[noreturn]] void refuse(const char* what) {
  throw nb::value_error((std::string("native kernel: tensor ") + what).c_str());
}

bool contiguous(const DlTensor& t) {
  if (!t.strides) return true;
  for (int i = 0; i < t.ndim; ++i) {
    if (t.shape[i] == 0) return true;
  }
  int64_t step = 1;
  for (int i = t.ndim - 1; i >= 0; --i) {
    if (t.shape[i] != 1 && t.strides[i] != step) return false;
    step *= t.shape[i];
  }
  return true;
}

// Without the exchange (torch before 2.10): ask the tensor itself.
View slow_view(nb::handle tensor, int bytes) {
  if (nb::cast<int>(tensor.attr("element_size")()) != bytes) refuse("has another element size");
  if (!nb::cast<bool>(tensor.attr("is_contiguous")())) refuse("is not contiguous");
  if (nb::cast<bool>(tensor.attr("is_cuda"))) refuse("is not on the CPU");
  View v;
  v.data = reinterpret_cast<char*>(nb::cast<uintptr_t>(tensor.attr("data_ptr")()));
  for (nb::handle size : tensor.attr("shape")) {
    if (v.dims == 8) refuse("has more than 8 dimensions");
    v.shape[v.dims++] = nb::cast<int64_t>(size);
  }
  return v;
}

}  // namespace

namespace {

// Null if the borrowed tensor is contiguous on the CPU, of this kind and size; else what it is not.
const char* misfit(const DlTensor& t, char kind, int bytes) {
  const uint8_t code = kind == 'f' ? 2 : kind == 'u' ? 1 : 0;
  if (t.device.type != kCpu) return "is not on the CPU";
  if (t.code != code || t.bits != bytes * 8 || t.lanes != 1) return "has another dtype";
  if (t.ndim > 8) return "has more than 8 dimensions";
  return contiguous(t) ? nullptr : "is not contiguous";
}

View view_of(const DlTensor& t) {
  View v;
  v.dims = t.ndim;
  for (int i = 0; i < t.ndim; ++i) v.shape[i] = t.shape[i];
  v.data = static_cast<char*>(t.data) + t.byte_offset;
  return v;
}

}  // namespace

View view(nb::handle tensor, char kind, int bytes) {
  if (tensor.is_none()) return {};
  const DlExchange* exchange = exchange_of(tensor);
  if (!exchange) return slow_view(tensor, bytes);
  DlTensor t;
  if (exchange->borrow(tensor.ptr(), &t) != 0) throw nb::python_error();
  if (const char* what = misfit(t, kind, bytes)) refuse(what);
  return view_of(t);
}

Fresh empty_like(nb::handle tensor, const int64_t* shape, int dims) {
  const DlExchange* exchange = exchange_of(tensor);
  DlTensor like = {nullptr, {kCpu, 0}, dims, 2, 32, 1, const_cast<int64_t*>(shape), nullptr, 0};
  DlOwned* owned = nullptr;
  void* made = nullptr;
  const auto fail = [](void*, const char*, const char* message) {
    PyErr_SetString(PyExc_RuntimeError, message);
  };
  if (exchange->allocate(&like, &owned, nullptr, fail) != 0) throw nb::python_error();
  const View seen = view_of(owned->tensor);
  if (exchange->object_from_owned(owned, &made) != 0) throw nb::python_error();
  return {nb::steal(static_cast<PyObject*>(made)), seen};
}

bool fits(nb::handle tensor, char kind, int bytes, View* found) {
  const DlExchange* exchange = exchange_of(tensor);
  DlTensor t;
  if (!exchange) return false;
  if (exchange->borrow(tensor.ptr(), &t) != 0) {
    PyErr_Clear();
    return false;
  }
  if (misfit(t, kind, bytes)) return false;
  *found = view_of(t);
  return true;
}

}  // namespace octavo
