// Options said once. A struct of settings lists its fields in one function,
//     void list_options(EngineFlags& o, OptionList& list) { list.add("session_len", &o.session_len, "…"); … }
// and everything else is derived: the CLI flag (--session-len), its help text and default, the JSON key
// (session_len), range checks and error texts. An OptionList holds pointers into the struct: it must not
// outlive it.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace turgo {

using Json = nlohmann::ordered_json;

using OptionTarget =
    std::variant<bool*, int32_t*, int64_t*, uint64_t*, float*, double*, std::string*,
                 std::vector<std::string>*, std::optional<int32_t>*, std::optional<uint64_t>*>;

struct Option {
  std::string name;  // snake_case
  OptionTarget target;
  std::string help;
  double min = -std::numeric_limits<double>::infinity();  // inclusive; numbers only
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices_list;  // strings only; empty = any
  std::string value_label;                // as in help: --text FILE
  std::string default_label;              // printed instead of the value: "the model's own"
  bool is_positional = false;             // MODEL in `turgo chat MODEL`
  bool is_required = false;

  Option& range(double low, double high = std::numeric_limits<double>::infinity());
  Option& choices(std::vector<std::string> values);
  Option& label(std::string text);
  Option& shown_default(std::string text);
  Option& positional(bool required_too = true);
  Option& required();

  std::string flag() const;          // "--session-len"
  std::string default_text() const;  // "" if there is nothing worth printing
  bool is_bool() const { return std::holds_alternative<bool*>(target); }
  bool is_list() const { return std::holds_alternative<std::vector<std::string>*>(target); }

  // Both throw Error{kInvalidArgument} in one line: what was expected, what came. A list gets one more
  // element from text, and all of them from a JSON array (or one string).
  void set_text(std::string_view text) const;
  void set_json(const Json& value) const;
  Json to_json() const;
  void check_number(double value, std::string_view shown) const;
};

class OptionList {
 public:
  Option& add(std::string name, OptionTarget target, std::string help);

  const std::vector<Option>& options() const { return options_; }
  const Option* find(std::string_view name) const;

  // Sets the fields that `object` has. Unknown keys are an Error that names the closest known one.
  void set_json(const Json& object, const std::string& what) const;
  Json to_json() const;

 private:
  std::vector<Option> options_;
};

// The candidate with the smallest edit distance, if it is close enough to be a slip of the hand; else "".
std::string closest_name(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace turgo
