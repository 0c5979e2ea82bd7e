#include "models/hyper_params.h"

#include <cmath>

#include "core/error.h"
#include "core/json.h"

namespace turgo {
namespace {

std::string shown(const Json* value) {
  if (!value) return "nothing";
  return quote(value->dump(-1, ' ', false, Json::error_handler_t::replace), 60);
}

const Json* member(const Json& object, std::string_view key) {
  auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

// An integer in [min, max]; 3.0 is no integer.
std::optional<int64_t> integer(const Json& v, int64_t min, int64_t max) {
  bool fits =
      v.is_number_unsigned() ? v.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX) : v.is_number_integer();
  if (!fits || v.get<int64_t>() < min || v.get<int64_t>() > max) return std::nullopt;
  return v.get<int64_t>();
}

std::optional<double> number(const Json& v, double min, double max) {
  if (!v.is_number()) return std::nullopt;
  double x = v.get<double>();
  if (!std::isfinite(x) || x < min || x > max) return std::nullopt;
  return x;
}

}  // namespace

HyperParams::HyperParams(const ModelFile& file) : file_(&file) {
  const Json& root = file.metadata();
  if (gguf()) {
    const Json* name = member(root, "general.architecture");
    if (name && name->is_string()) prefix_ = name->get<std::string>() + ".";
  } else {
    for (const char* nested : {"text_config", "llm_config"})
      if (const Json* inner = member(root, nested); inner && inner->is_object()) {
        objects_.push_back(inner);
        break;
      }
  }
  objects_.push_back(&root);
}

std::vector<std::string> HyperParams::architecture_names() const {
  std::vector<std::string> names;
  auto add = [&](const Json* v) {
    if (v && v->is_array() && !v->empty()) v = &(*v)[0];
    if (v && v->is_string()) names.push_back(v->get<std::string>());
  };
  if (gguf()) {
    add(member(*objects_.back(), "general.architecture"));
  } else {
    for (const Json* object : objects_) {
      add(member(*object, "architectures"));
      add(member(*object, "model_type"));
    }
  }
  return names;
}

std::string HyperParams::key(ParamName name) const {
  if (gguf()) return name.gguf ? prefix_ + name.gguf : "";
  return name.hf ? path_ + name.hf : "";
}

const Json* HyperParams::find(ParamName name) const {
  if (gguf()) return name.gguf ? member(*objects_.front(), prefix_ + name.gguf) : nullptr;
  if (!name.hf) return nullptr;
  for (const Json* object : objects_)
    if (const Json* v = member(*object, name.hf)) return v;
  return nullptr;
}

bool HyperParams::has(ParamName name) const {
  return find(name) != nullptr;
}

void HyperParams::bad(ParamName name, const std::string& expected) const {
  fail(ErrorCode::kCorrupt, "{}: {}: expected {}, got {}", quote(file_->path(), 200), quote(key(name)),
       expected, shown(find(name)));
}

std::optional<int32_t> HyperParams::find_int(ParamName name, int64_t min, int64_t max) const {
  const Json* v = find(name);
  if (!v) return std::nullopt;
  auto i = integer(*v, min, max);
  if (!i) bad(name, fmt::format("an integer of {} to {}", min, max));
  return static_cast<int32_t>(*i);
}

int32_t HyperParams::get_int(ParamName name, int64_t min, int64_t max) const {
  auto v = find_int(name, min, max);
  if (!v) bad(name, fmt::format("an integer of {} to {}", min, max));
  return *v;
}

int32_t HyperParams::get_int(ParamName name, int64_t min, int64_t max, int32_t fallback) const {
  return find_int(name, min, max).value_or(fallback);
}

std::optional<float> HyperParams::find_float(ParamName name, double min, double max) const {
  const Json* v = find(name);
  if (!v) return std::nullopt;
  auto x = number(*v, min, max);
  if (!x) bad(name, fmt::format("a number of {} to {}", min, max));
  return static_cast<float>(*x);
}

float HyperParams::get_float(ParamName name, double min, double max) const {
  auto v = find_float(name, min, max);
  if (!v) bad(name, fmt::format("a number of {} to {}", min, max));
  return *v;
}

float HyperParams::get_float(ParamName name, double min, double max, float fallback) const {
  return find_float(name, min, max).value_or(fallback);
}

bool HyperParams::get_bool(ParamName name, bool fallback) const {
  const Json* v = find(name);
  if (!v) return fallback;
  if (!v->is_boolean()) bad(name, "true or false");
  return v->get<bool>();
}

std::string HyperParams::get_string(ParamName name, const std::string& fallback) const {
  const Json* v = find(name);
  if (!v) return fallback;
  if (!v->is_string()) bad(name, "a string");
  return v->get<std::string>();
}

std::vector<float> HyperParams::find_floats(ParamName name, double min, double max) const {
  const Json* v = find(name);
  if (!v) return {};
  std::vector<float> out;
  if (v->is_array())
    for (const Json& e : *v)
      if (auto x = number(e, min, max)) out.push_back(static_cast<float>(*x));
  if (!v->is_array() || out.size() != v->size() || out.size() > kMaxHeadDim)
    bad(name, fmt::format("a list of numbers of {} to {}", min, max));
  return out;
}

std::vector<std::string> HyperParams::find_strings(ParamName name) const {
  const Json* v = find(name);
  if (!v) return {};
  std::vector<std::string> out;
  if (v->is_array())
    for (const Json& e : *v)
      if (e.is_string()) out.push_back(e.get<std::string>());
  if (!v->is_array() || out.size() != v->size()) bad(name, "a list of strings");
  return out;
}

std::vector<int32_t> HyperParams::find_ints(ParamName name, int64_t min, int64_t max) const {
  const Json* v = find(name);
  if (!v) return {};
  if (!v->is_array()) return {get_int(name, min, max)};
  std::vector<int32_t> out;
  for (const Json& e : *v)
    if (auto i = integer(e, min, max)) out.push_back(static_cast<int32_t>(*i));
  if (out.size() != v->size() || out.empty())
    bad(name, fmt::format("an integer of {} to {}, or a list of them", min, max));
  return out;
}

std::vector<int32_t> HyperParams::find_per_layer(ParamName name, int64_t min, int64_t max,
                                                 int num_layers) const {
  auto values = find_ints(name, min, max);
  bool scalar = values.size() == 1 && !find(name)->is_array();
  if (scalar) values.assign(static_cast<size_t>(num_layers), values[0]);
  if (!values.empty() && values.size() != static_cast<size_t>(num_layers))
    bad(name, fmt::format("one number, or a list with one for each of the {} layers", num_layers));
  return values;
}

std::optional<HyperParams> HyperParams::child(const char* hf_key) const {
  if (gguf()) return std::nullopt;
  const Json* v = find({hf_key, nullptr});
  if (!v) return std::nullopt;
  if (!v->is_object()) bad({hf_key, nullptr}, "an object");
  HyperParams inner;
  inner.file_ = file_;
  inner.path_ = path_ + hf_key + ".";
  inner.objects_ = {v};
  return inner;
}

}  // namespace turgo
