#include "text/jinja/from_json.h"

#include <nlohmann/json.hpp>

#include "text/jinja/runtime.h"

namespace turgo::jinja {

Value from_json(Runtime& rt, const nlohmann::ordered_json& json, bool input, int depth) {
  rt.check_value_depth(depth);
  using Type = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Type::boolean: {
      Value v = Value::boolean(json.get<bool>());
      v.input = input;
      return v;
    }
    case Type::number_integer:
      return Value::integer(json.get<int64_t>(), input);
    case Type::number_unsigned:
      return Value::integer(json.get<uint64_t>(), input);
    case Type::number_float:
      return Value::number(json.get<double>(), input);
    case Type::string: {
      const auto& text = json.get_ref<const std::string&>();
      if (!Utf8::valid(text)) rt.type_error("a string of the messages is not valid UTF-8");
      return rt.new_str(text, input);
    }
    case Type::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(from_json(rt, item, input, depth + 1));
      Value v = rt.new_list(std::move(items));
      v.list().input = input;
      return v;
    }
    case Type::object: {
      Value v = rt.new_dict();
      v.dict().input = input;
      for (const auto& [key, value] : json.items()) {
        if (!Utf8::valid(key)) rt.type_error("a key of the messages is not valid UTF-8");
        v.dict().set(rt, rt.new_str(key, input), from_json(rt, value, input, depth + 1));
      }
      return v;
    }
    default: {
      Value v = Value::none();
      v.input = input;
      return v;
    }
  }
}

}  // namespace turgo::jinja
