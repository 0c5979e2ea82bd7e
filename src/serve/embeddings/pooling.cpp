#include "serve/embeddings/pooling.h"

#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "core/json.h"
#include "io/model_file.h"

namespace turgo {
namespace {

namespace fs = std::filesystem;

PoolingConfig read_folder(const fs::path& folder) {
  PoolingConfig out;
  fs::path pooling = folder / "1_Pooling" / "config.json";
  if (!fs::exists(pooling)) return out;
  Json json = parse_json_file(pooling, 1 << 20, 8);
  auto says = [&](const char* key) { return json.is_object() && json.value(key, Json()) == true; };
  if (says("pooling_mode_mean_tokens"))
    out.kind = PoolingConfig::Kind::kMean;
  else if (says("pooling_mode_cls_token"))
    out.kind = PoolingConfig::Kind::kFirst;
  else if (!says("pooling_mode_lasttoken"))
    fail(ErrorCode::kUnsupported, "{}: expected mean, cls or lasttoken pooling",
         quote(pooling.string(), 200));
  out.normalizes = false;  // here a module of its own says so
  fs::path modules = folder / "modules.json";
  if (fs::exists(modules)) {
    Json list = parse_json_file(modules, 1 << 20, 8);
    for (const Json& one : list)
      if (one.is_object() && one.value("type", Json()).is_string())
        out.normalizes |= one["type"].get<std::string>().ends_with(".Normalize");
  }
  return out;
}

}  // namespace

PoolingConfig read_pooling(const std::string& model_path) {
  std::error_code wrong;
  if (fs::is_directory(model_path, wrong)) return read_folder(model_path);
  std::shared_ptr<const ModelFile> file = open_model_without_weights(model_path);
  PoolingConfig out;
  auto architecture = file->find_string("general.architecture");
  auto type = architecture ? file->find_int(*architecture + ".pooling_type", 0, 100) : std::nullopt;
  if (!type || *type == 0 || *type == 3) return out;
  if (*type > 3)
    fail(ErrorCode::kUnsupported, "{}.pooling_type: expected 0 to 3, got {}", *architecture, *type);
  out.kind = *type == 1 ? PoolingConfig::Kind::kMean : PoolingConfig::Kind::kFirst;
  return out;
}

void Pool::add(std::span<const float> row) {
  ++num_rows_;
  if (config_.kind == PoolingConfig::Kind::kFirst && num_rows_ > 1) return;
  if (config_.kind != PoolingConfig::Kind::kMean || sum_.empty()) sum_.assign(row.size(), 0);
  for (size_t i = 0; i < row.size(); ++i) sum_[i] += static_cast<double>(row[i]);
}

std::vector<float> Pool::finish(size_t dimensions) const {
  size_t n = dimensions == 0 ? sum_.size() : std::min(dimensions, sum_.size());
  double scale = config_.kind == PoolingConfig::Kind::kMean ? 1.0 / static_cast<double>(num_rows_) : 1;
  if (config_.normalizes) {
    double squares = 0;
    for (size_t i = 0; i < n; ++i) squares += sum_[i] * sum_[i];
    if (squares > 0) scale = 1 / std::sqrt(squares);
  }
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(sum_[i] * scale);
  return out;
}

}  // namespace turgo
