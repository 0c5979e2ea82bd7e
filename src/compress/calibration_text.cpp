#include "compress/calibration_text.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "compress/bundled_text.h"
#include "core/error.h"
#include "core/mapped_file.h"
#include "text/utf8.h"

namespace turgo {
namespace {

namespace fs = std::filesystem;

constexpr int32_t kMinTokens = 16;
constexpr const char* kNames[] = {"wikitext2", "ptb", "c4", "pileval"};

std::string cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache)
    return std::string(cache) + "/turgo/datasets";
  const char* home = std::getenv("HOME");
  return std::string(home ? home : "") + "/.cache/turgo/datasets";
}

std::string resolve(const std::string& dataset) {
  std::error_code ignored;
  if (fs::exists(dataset, ignored)) return dataset;
  if (std::ranges::find(kNames, dataset) == std::end(kNames))
    fail(ErrorCode::kNotFound,
         "--calib-dataset {}: no such file; expected a text or .jsonl file, or one of wikitext2, ptb, c4, "
         "pileval, tales, generated",
         quote(dataset, 200));
  for (const char* suffix : {".txt", ".jsonl"}) {
    std::string path = cache_folder() + "/" + dataset + suffix;
    if (fs::exists(path, ignored)) return path;
  }
  fail(ErrorCode::kNotFound,
       "--calib-dataset {}: nothing is downloaded here; put the text at {}/{}.txt, or say tales to use "
       "the bundled text",
       dataset, cache_folder(), dataset);
}

// The "text" of every line; a conversation's contents one after the other.
std::string jsonl_text(std::string_view lines, const std::string& path) {
  std::string out;
  int64_t number = 0;
  while (!lines.empty()) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto object = nlohmann::json::parse(line, nullptr, false);
    if (object.is_object() && object.contains("text") && object["text"].is_string()) {
      out += object["text"].get<std::string>() + "\n\n";
      continue;
    }
    bool any = false;
    for (const char* key : {"messages", "conversations"})
      if (object.is_object() && object.contains(key) && object[key].is_array())
        for (const auto& message : object[key])
          for (const char* part : {"content", "value"})
            if (message.is_object() && message.contains(part) && message[part].is_string())
              out += message[part].get<std::string>() + "\n\n", any = true;
    if (!any)
      fail(ErrorCode::kInvalidArgument,
           "{}: line {}: expected a JSON object with a string \"text\" (or a list \"messages\"), got {}",
           quote(path, 200), number, quote(std::string(line.substr(0, 60)), 60));
  }
  return out;
}

}  // namespace

std::string calibration_text(const std::string& dataset, std::string* source) {
  if (dataset.empty() || dataset == kBundledDataset) {
    *source = "the bundled tales";
    return std::string(bundled_text());
  }
  const std::string path = resolve(dataset);
  *source = path;
  auto file = MappedFile::open(path);
  std::string_view bytes(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (bytes.find('\0') != std::string_view::npos || !is_valid_utf8(bytes))
    fail(ErrorCode::kInvalidArgument, "--calib-dataset {}: expected UTF-8 text, this is not",
         quote(path, 200));
  return path.ends_with(".jsonl") ? jsonl_text(bytes, path) : std::string(bytes);
}

CalibrationSamples read_calibration(const CalibrationRequest& request, const Tokenizer& tokenizer) {
  CalibrationSamples out;
  out.num_asked = request.num_samples;
  const std::vector<int32_t> ids = tokenizer.encode(calibration_text(request.dataset, &out.source), false);
  const auto total = static_cast<int64_t>(ids.size());
  if (total < kMinTokens)
    fail(ErrorCode::kInvalidArgument, "{}: expected a text of at least {} tokens to calibrate on, got {}",
         quote(out.source, 200), kMinTokens, total);
  const bool bos = tokenizer.add_bos() && tokenizer.bos_id() >= 0;
  const int64_t length = request.seqlen - (bos ? 1 : 0);
  const int64_t whole = total / length, wanted = std::min<int64_t>(request.num_samples, whole);
  auto add = [&](int64_t begin, int64_t count) {
    std::vector<int32_t> sample;
    if (bos) sample.push_back(tokenizer.bos_id());
    sample.insert(sample.end(), ids.begin() + begin, ids.begin() + begin + count);
    out.num_tokens += static_cast<int64_t>(sample.size());
    for (int32_t id : sample) out.hash = (out.hash ^ static_cast<uint32_t>(id)) * 0x100000001b3u;
    out.ids.push_back(std::move(sample));
  };
  for (int64_t i = 0; i < wanted; ++i) add(i * whole / wanted * length, length);
  const int64_t rest = total - whole * length;
  if (wanted < request.num_samples && rest >= kMinTokens) add(whole * length, rest);
  return out;
}

}  // namespace turgo
