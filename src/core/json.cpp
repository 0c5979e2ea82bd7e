#include "core/json.h"

#include "core/error.h"
#include "core/mapped_file.h"

namespace turgo {

Json parse_json(std::string_view text, const std::string& what, int max_depth) {
  auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > max_depth)
      fail(ErrorCode::kCorrupt, "{}: JSON nested deeper than {} levels; expected a sane document", what,
           max_depth);
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), limit_depth);
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
