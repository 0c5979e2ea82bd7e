#include "io/json_file.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "core/json.h"
#include "core/mapped_file.h"

namespace turgo {

std::string read_text_file(const std::string& path, size_t max_bytes) {
  auto file = MappedFile::open(path);
  auto bytes = file->bytes();
  if (bytes.size() > max_bytes)
    fail(ErrorCode::kCorrupt, "{}: expected at most {} bytes, got {}", quote(path, 200), max_bytes,
         bytes.size());
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void check_json_size(std::string_view text, const std::string& what, int max_depth, size_t max_keys) {
  std::vector<size_t> colons;  // one per open bracket
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (colons.size() == static_cast<size_t>(max_depth))
        fail(ErrorCode::kCorrupt, "{}: JSON nested deeper than {} levels", what, max_depth);
      colons.push_back(0);
    } else if (c == '}' || c == ']') {
      if (!colons.empty()) colons.pop_back();
    } else if (c == ':' && !colons.empty() && ++colons.back() > max_keys) {
      fail(ErrorCode::kCorrupt, "{}: expected at most {} keys in one JSON object", what, max_keys);
    }
  }
}

nlohmann::ordered_json load_json_object(const std::string& path) {
  std::string what = quote(path, 200);
  std::string text = read_text_file(path, size_t{2} << 20);
  check_json_size(text, what, 64, 4'096);
  auto value = parse_json(text, what, 64);
  if (!value.is_object())
    fail(ErrorCode::kCorrupt, "{}: expected a JSON object, got {}", what, value.type_name());
  return value;
}

nlohmann::json load_large_json_object(const std::string& path, size_t max_bytes) {
  std::string what = quote(path, 200);
  std::string text = read_text_file(path, max_bytes);
  check_json_size(text, what, 64, text.size());
  nlohmann::json value;
  try {
    value = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", what, quote(e.what(), 160));
  }
  if (!value.is_object())
    fail(ErrorCode::kCorrupt, "{}: expected a JSON object, got {}", what, value.type_name());
  return value;
}

}  // namespace turgo
