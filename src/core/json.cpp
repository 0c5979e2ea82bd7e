#include "core/json.h"

#include "core/error.h"
#include "core/mapped_file.h"

namespace turgo {

// Looked for before the parse: nlohmann's callbacks make the parse of a list quadratic in its objects.
static void check_depth(std::string_view text, const std::string& what, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '"')
      in_string = !in_string;
    else if (in_string)
      i += c == '\\';
    else if ((c == '{' || c == '[') && ++depth > max_depth)
      fail(ErrorCode::kCorrupt, "{}: JSON nested deeper than {} levels; expected a sane document", what,
           max_depth);
    else if (c == '}' || c == ']')
      --depth;
  }
}

Json parse_json(std::string_view text, const std::string& what, int max_depth) {
  check_depth(text, what, max_depth);
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::exception& e) {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", what, quote(e.what(), 160));
  }
}

Json parse_json_file(const std::string& path, size_t max_bytes, int max_depth) {
  auto file = MappedFile::open(path);
  auto bytes = file->bytes();
  if (bytes.size() > max_bytes)
    fail(ErrorCode::kCorrupt, "{}: expected at most {} bytes of JSON, got {}", quote(path, 200), max_bytes,
         bytes.size());
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, quote(path, 200), max_depth);
}

}  // namespace turgo
