#include "core/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace turgo {
namespace {

template <class T>
constexpr bool kIsNumber =
    std::is_same_v<T, int32_t> || std::is_same_v<T, int64_t> || std::is_same_v<T, uint64_t> ||
    std::is_same_v<T, float> || std::is_same_v<T, double>;

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

template <class T>
const char* type_words() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_same_v<T, uint64_t>) return "a whole number >= 0";
  if constexpr (std::is_integral_v<T>) return "a whole number";
  return "a number";
}

template <class T>
bool parse_number(std::string_view text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if constexpr (std::is_floating_point_v<T>)
    if (!std::isfinite(value)) return false;
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

[[noreturn]] void wrong(const Option& option, std::string_view expected, std::string_view got) {
  fail(ErrorCode::kInvalidArgument, "{}: expected {}, got {}", option.flag(), expected, quote(got));
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

void check_choice(const Option& option, const std::string& value) {
  const auto& list = option.choices_list;
  if (!list.empty() && std::find(list.begin(), list.end(), value) == list.end())
    wrong(option, "one of " + joined(list), value);
}

}  // namespace

Option& Option::range(double low, double high) {
  min = low;
  max = high;
  return *this;
}
Option& Option::choices(std::vector<std::string> values) {
  choices_list = std::move(values);
  return *this;
}
Option& Option::label(std::string text) {
  value_label = std::move(text);
  return *this;
}
Option& Option::shown_default(std::string text) {
  default_label = std::move(text);
  return *this;
}
Option& Option::positional(bool required_too) {
  is_positional = true;
  is_required = required_too;
  return *this;
}
Option& Option::required() {
  is_required = true;
  return *this;
}

std::string Option::flag() const {
  std::string dashed = name;
  std::replace(dashed.begin(), dashed.end(), '_', '-');
  if (!is_positional) return "--" + dashed;
  std::transform(dashed.begin(), dashed.end(), dashed.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  return dashed;
}

std::string Option::default_text() const {
  if (!default_label.empty() || is_positional) return default_label;
  return std::visit(
      [](auto* value) -> std::string {
        using T = std::remove_pointer_t<decltype(value)>;
        if constexpr (kIsNumber<T>) return fmt::format("{}", *value);
        if constexpr (std::is_same_v<T, std::string>) return *value;
        return "";
      },
      target);
}

void Option::check_number(double value, std::string_view shown) const {
  if (value >= min && value <= max) return;
  if (!std::isfinite(max)) wrong(*this, fmt::format("a number >= {}", min), shown);
  wrong(*this, fmt::format("a number from {} to {}", min, max), shown);
}

void Option::set_text(std::string_view text) const {
  std::visit(
      [&](auto* value) {
        using T = std::remove_pointer_t<decltype(value)>;
        if constexpr (kIsNumber<T>) {
          T parsed{};
          if (!parse_number(text, parsed)) wrong(*this, type_words<T>(), text);
          check_number(static_cast<double>(parsed), text);
          *value = parsed;
        } else if constexpr (IsOptional<T>::value) {
          typename T::value_type parsed{};
          if (!parse_number(text, parsed)) wrong(*this, type_words<typename T::value_type>(), text);
          check_number(static_cast<double>(parsed), text);
          *value = parsed;
        } else if constexpr (std::is_same_v<T, bool>) {
          if (text != "true" && text != "false") wrong(*this, type_words<T>(), text);
          *value = text == "true";
        } else if constexpr (std::is_same_v<T, std::string>) {
          check_choice(*this, std::string(text));
          *value = text;
        } else {
          value->emplace_back(text);
        }
      },
      target);
}

namespace {

template <class T>
void set_number(const Option& option, const Json& json, T& value) {
  // Whole floats count as integers (max_tokens: 16.0), as JSON knows one kind of number.
  bool fits = json.is_number() && (std::is_floating_point_v<T> || json.is_number_integer() ||
                                   json.get<double>() == std::floor(json.get<double>()));
  double number = fits ? json.get<double>() : 0;
  if constexpr (std::is_integral_v<T>)
    fits = fits && number >= static_cast<double>(std::numeric_limits<T>::min()) &&
           number <= static_cast<double>(std::numeric_limits<T>::max()) &&
           !(std::is_unsigned_v<T> && json.is_number_integer() && !json.is_number_unsigned() && number < 0);
  if (!fits) wrong(option, type_words<T>(), json.dump());
  option.check_number(number, json.dump());
  value = json.is_number_integer() ? json.get<T>() : static_cast<T>(number);
}

}  // namespace

void Option::set_json(const Json& json) const {
  std::visit(
      [&](auto* value) {
        using T = std::remove_pointer_t<decltype(value)>;
        if constexpr (kIsNumber<T>) {
          set_number(*this, json, *value);
        } else if constexpr (IsOptional<T>::value) {
          value->reset();
          if (!json.is_null()) set_number(*this, json, value->emplace());
        } else if constexpr (std::is_same_v<T, bool>) {
          if (!json.is_boolean()) wrong(*this, type_words<T>(), json.dump());
          *value = json.get<bool>();
        } else if constexpr (std::is_same_v<T, std::string>) {
          if (!json.is_string()) wrong(*this, "a string", json.dump());
          check_choice(*this, json.get_ref<const std::string&>());
          *value = json.get<std::string>();
        } else {
          value->clear();
          for (const Json& item : json.is_array() ? json : Json::array({json})) {
            if (!item.is_string()) wrong(*this, "strings", json.dump());
            value->push_back(item.get<std::string>());
          }
        }
      },
      target);
}

Json Option::to_json() const {
  return std::visit(
      [](auto* value) -> Json {
        if constexpr (IsOptional<std::remove_pointer_t<decltype(value)>>::value)
          return *value ? Json(**value) : Json(nullptr);
        else
          return *value;
      },
      target);
}

Option& OptionList::add(std::string name, OptionTarget target, std::string help) {
  CHECK(find(name) == nullptr, "option {} listed twice", name);
  Option& option = options_.emplace_back();
  option.name = std::move(name);
  option.target = target;
  option.help = std::move(help);
  return option;
}

const Option* OptionList::find(std::string_view name) const {
  for (const Option& option : options_)
    if (option.name == name) return &option;
  return nullptr;
}

void OptionList::set_json(const Json& object, const std::string& what) const {
  if (!object.is_object()) fail(ErrorCode::kInvalidArgument, "{}: expected a JSON object", what);
  for (const auto& [key, value] : object.items()) {
    if (const Option* option = find(key)) {
      option->set_json(value);
      continue;
    }
    std::vector<std::string> names;
    for (const Option& option : options_) names.push_back(option.name);
    std::string close = closest_name(key, names);
    fail(ErrorCode::kInvalidArgument, "{}: unknown key {}{}", what, quote(key),
         close.empty() ? "" : "; did you mean '" + close + "'?");
  }
}

Json OptionList::to_json() const {
  Json object = Json::object();
  for (const Option& option : options_) object[option.name] = option.to_json();
  return object;
}

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours cost one each.
static size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(above);
    above.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j - 1] + (a[i - 1] != b[j - 1]), above[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string closest_name(std::string_view name, const std::vector<std::string>& candidates) {
  std::string best;
  if (name.size() > 64) return best;
  size_t limit = std::max<size_t>(name.size() / 3, 1);  // a third of the letters may be wrong
  for (const std::string& candidate : candidates) {
    size_t distance = edit_distance(name, candidate);
    if (distance > limit || (!best.empty() && distance == limit)) continue;
    limit = distance;
    best = candidate;
  }
  return best;
}

}  // namespace turgo
