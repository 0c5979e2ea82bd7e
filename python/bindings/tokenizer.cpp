// Tokenizer: strings <-> ids of a model file or folder, without its weights.
#include "text/tokenizer.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings/bindings.h"
#include "core/error.h"
#include "io/model_file.h"
#include "pipeline/load_tokenizer.h"

namespace turgo::python {
namespace {

using TokenizerPointer = std::shared_ptr<const Tokenizer>;

struct PyTokenizer {
  TokenizerPointer tokenizer;

  static PyTokenizer load(const nb::object& path) {
    std::string file = to_text(path, "model_path");
    nb::gil_scoped_release unlocked;
    TokenizerPointer loaded = load_tokenizer(*open_model(file));
    if (!loaded)
      fail(ErrorCode::kUnsupported,
           "{}: no tokenizer found; expected tokenizer.json, tokenizer.model or a GGUF vocabulary",
           quote(file, 200));
    return {loaded};
  }
  std::vector<int32_t> encode(const nb::object& text, bool add_bos, bool parse_special) const {
    std::string utf8 = to_text(text, "text");
    nb::gil_scoped_release unlocked;
    std::vector<int32_t> ids = tokenizer->encode(utf8, parse_special);
    if (add_bos && tokenizer->add_bos() && (ids.empty() || ids.front() != tokenizer->bos_id()))
      ids.insert(ids.begin(), tokenizer->bos_id());
    return ids;
  }
  // Ill-formed UTF-8 (a character that was cut) becomes U+FFFD.
  nb::str decode(const nb::object& ids, bool skip_special_tokens) const {
    std::vector<int32_t> known = to_ids(ids, "ids");
    for (size_t i = 0; i < known.size(); ++i)
      if (known[i] >= tokenizer->vocab_size())
        fail(ErrorCode::kInvalidArgument, "ids[{}]: expected a token id below {}, got {}", i,
             tokenizer->vocab_size(), known[i]);
    std::string bytes = tokenizer->decode(known, skip_special_tokens);
    return nb::steal<nb::str>(
        PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace"));
  }
};

}  // namespace

void bind_tokenizer(nb::module_& m) {
  nb::class_<PyTokenizer>(m, "Tokenizer")
      .def_static("load", &PyTokenizer::load, nb::arg("path"))
      .def("encode", &PyTokenizer::encode, nb::arg("text").none(), nb::arg("add_bos"),
           nb::arg("parse_special"))
      .def("decode", &PyTokenizer::decode, nb::arg("ids"), nb::arg("skip_special_tokens"))
      .def_prop_ro("vocab_size", [](const PyTokenizer& t) { return t.tokenizer->vocab_size(); })
      .def_prop_ro("bos_token_id", [](const PyTokenizer& t) { return t.tokenizer->bos_id(); })
      .def_prop_ro("eos_token_id", [](const PyTokenizer& t) { return t.tokenizer->eos_id(); })
      .def("token_to_id",
           [](const PyTokenizer& t, const std::string& token) { return t.tokenizer->token_to_id(token); })
      .def("id_to_token", [](const PyTokenizer& t, int32_t id) { return t.tokenizer->id_to_token(id); });
}

}  // namespace turgo::python
