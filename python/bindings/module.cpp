#include "bindings/bindings.h"
#include "core/error.h"
#include "text/chat_template.h"

namespace turgo::python {

void Birthplace::require(const char* what) const {
  if (is_here()) return;
  fail(ErrorCode::kUnsupported,
       "{} was made by process {} and this is its fork {}, which has none of its threads; open the model in "
       "the child, or start children with multiprocessing's 'spawn'",
       what, pid_, getpid());
}

}  // namespace turgo::python

NB_MODULE(_turgo, m) {
  namespace nb = nanobind;
  nb::set_leak_warnings(false);  // objects that live until the interpreter ends are no leak
  m.doc() = "Turgo's C++ engine; use the module turgo";
  turgo::python::bind_errors(m);
  turgo::python::bind_options(m);
  turgo::python::bind_tokenizer(m);
  turgo::python::bind_model(m);
  turgo::python::bind_answers(m);
  m.def("version", [] { return TURGO_VERSION; });
  m.def("list_chat_templates", [] {
    nb::list names;
    for (const std::string& name : turgo::list_builtin_chat_templates()) names.append(name.c_str());
    return names;
  });
}
