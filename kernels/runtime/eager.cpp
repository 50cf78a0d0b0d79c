#include "runtime/eager.h"

#include <algorithm>
#include <utility>

#include "runtime/bind.h"

namespace nb = nanobind;

namespace octavo {
namespace {

// What is asked of torch, looked up once; lives for the process.
struct Torch {
  PyObject *tensor, *parameter, *dispatch_modes, *function_modes, *grad_mode, *requires_grad;

  static PyObject* of(nb::handle home, const char* name) {
    return nb::object(home.attr(name)).release().ptr();
  }
  Torch() {
    const nb::object torch = nb::module_::import_("torch"), inner = torch.attr("_C");
    tensor = of(torch, "Tensor"), parameter = of(torch.attr("nn"), "Parameter");
    dispatch_modes = of(inner, "_len_torch_dispatch_stack");
    function_modes = of(inner, "_len_torch_function_stack");
    grad_mode = of(torch, "is_grad_enabled");
    requires_grad = PyUnicode_InternFromString("requires_grad");
  }
};

const Torch& torch() {
  static const Torch* const only = new Torch;
  return *only;
}

nb::object ask(PyObject* function) {
  PyObject* answer = PyObject_Vectorcall(function, nullptr, 0, nullptr);
  if (!answer) throw nb::python_error();
  return nb::steal(answer);
}

bool zero(PyObject* count) { return PyLong_AsLong(ask(count).ptr()) == 0; }

// Whether the tensor is torch's own and wants no gradient.
bool plain(nb::handle tensor) {
  const auto* type = reinterpret_cast<PyObject*>(Py_TYPE(tensor.ptr()));
  if (type != torch().tensor && type != torch().parameter) return false;
  const nb::object asks = nb::steal(PyObject_GetAttr(tensor.ptr(), torch().requires_grad));
  if (!asks.is_valid()) throw nb::python_error();
  return asks.ptr() == Py_False || ask(torch().grad_mode).ptr() == Py_False;
}

// Read the tables and sizes of a packed weight.
void read_packed(const Product& product, nb::handle packed, Operands* o) {
  PyObject* const all = packed.ptr();
  for (int i = 0; i < product.tables; ++i) {
    const Element e = product.elements[i];
    o->tables[i] = view(PyTuple_GetItem(all, i), e.kind, e.bytes);
  }
  for (int i = 0; i < product.sizes; ++i) {
    o->sizes[i] = PyLong_AsSize_t(PyTuple_GetItem(all, product.tables + i));
  }
}

bool fits_bias(nb::handle bias, Operands* o) {
  return bias.is_none() || (plain(bias) && fits(bias, 'f', 4, &o->bias) && o->bias.dims == 1 &&
                            size_t(o->bias.last()) == o->n());
}

}  // namespace

nb::object short_way(const Product& product, nb::handle x, nb::handle bias, nb::handle packed,
                     nb::handle step) {
  Operands o;
  if (!plain(x) || !fits(x, 'f', 4, &o.x) || !o.x.dims) return nb::none();
  check(PyTuple_Check(packed.ptr()) && PyTuple_Size(packed.ptr()) == product.tables + product.sizes,
        "native kernel: not a packed weight of this product");
  read_packed(product, packed, &o);
  if (size_t(o.x.last()) != o.k() || !fits_bias(bias, &o)) return nb::none();
  if (!step.is_none() && !(plain(step) && fits(step, 'f', 4, &o.step) && step_fits(o.step))) {
    return nb::none();
  }
  if (!zero(torch().dispatch_modes) || !zero(torch().function_modes)) return nb::none();
  int64_t shape[8];
  std::copy(o.x.shape, o.x.shape + o.x.dims, shape);
  shape[o.x.dims - 1] = int64_t(o.n());
  Fresh out = empty_like(x, shape, o.x.dims);
  o.out = out.view, o.threads = threads_of_torch();
  if (o.out.count()) {
    nb::gil_scoped_release free;
    product.run(o);
  }
  return std::move(out.tensor);
}

}  // namespace octavo
