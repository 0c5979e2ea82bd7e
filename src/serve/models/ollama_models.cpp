// Ollama's routes about models: GET /api/tags, /api/ps, /api/version, POST /api/show, /api/pull. They tell
// what is served here; nothing is downloaded by a request.
#include <filesystem>

#include "serve/models/iso_time.h"
#include "serve/models/model_router.h"

namespace turgo {
namespace {

std::string modified_at(const std::string& path) {
  std::error_code wrong;
  auto time = std::filesystem::last_write_time(path, wrong);
  if (wrong) return iso_time(0);
  auto since = std::chrono::file_clock::to_sys(time).time_since_epoch();
  return iso_time(std::chrono::duration_cast<std::chrono::microseconds>(since).count());
}

Json details(const ModelHost& host) {
  bool is_gguf = host.spec().path.ends_with(".gguf");
  return {{"parent_model", ""},   {"format", is_gguf ? "gguf" : "safetensors"},
          {"family", ""},         {"families", Json::array()},
          {"parameter_size", ""}, {"quantization_level", ""}};
}

Json tag_json(const ModelHost& host) {
  return {{"name", host.spec().name + ":latest"},
          {"model", host.spec().name + ":latest"},
          {"modified_at", modified_at(host.spec().path)},
          {"size", host.file_bytes()},
          {"digest", ""},
          {"details", details(host)}};
}

// Ollama's errors are {"error": "text"}.
std::unique_ptr<Responder> in_words(const std::function<std::unique_ptr<Responder>()>& route) {
  try {
    return route();
  } catch (const ApiError& error) {
    return respond_with({{error.status, "application/json", {}}, dump_json({{"error", error.message}})});
  }
}

// host_of() finds the model by them.
void take_names(Fields& f) {
  std::string name;
  f.text("model", name);
  f.text("name", name);
  f.need_one_of({"model", "name"});
}

Json show_json(ModelHost& host) {
  Json shown = {{"modelfile", ""},
                {"parameters", ""},
                {"template", ""},
                {"license", ""},
                {"details", details(host)},
                {"model_info", Json::object()},
                {"capabilities", Json::array({"completion", "embedding"})},
                {"modified_at", modified_at(host.spec().path)}};
  auto model = host.running(false);
  if (!model) return shown;
  const ModelInfo& info = model->pipeline->info();
  const DecoderConfig& config = model->pipeline->engine().model_config();
  const std::string& family = info.architecture;
  shown["details"]["family"] = family;
  shown["details"]["families"] = Json::array({family});
  shown["details"]["parameter_size"] =
      fmt::format("{:.2f}M", static_cast<double>(info.layer_weights + info.head_weights) / 1e6);
  shown["model_info"] = {{"general.architecture", family},
                         {family + ".block_count", config.num_layers()},
                         {family + ".embedding_length", config.hidden_size},
                         {family + ".context_length", model->pipeline->session_len()},
                         {family + ".vocab_size", config.vocab_size}};
  return shown;
}

}  // namespace

void ModelRouter::add_ollama_routes() {
  own("GET", "/api/version", [](const Call&) { return respond_json({{"version", TURGO_VERSION}}); },
      {false, true, "The program's version (Ollama)", "Version"});
  own("GET", "/api/tags",
      [this](const Call&) {
        Json models = Json::array();
        for (const auto& host : hosts_) models.push_back(tag_json(*host));
        return respond_json({{"models", std::move(models)}});
      },
      {false, true, "The models that are served (Ollama)", "OllamaModels"});
  own("GET", "/api/ps",
      [this](const Call&) {
        Json models = Json::array();
        for (const auto& host : hosts_) {
          auto model = host->running(false);
          if (!model) continue;
          Json one = tag_json(*host);
          one["size"] = model->pipeline->info().weight_bytes;
          one["size_vram"] = 0;
          one["context_length"] = model->pipeline->session_len();
          double left = host->seconds_to_sleep(config_.idle_seconds);
          auto now = std::chrono::system_clock::now().time_since_epoch();
          one["expires_at"] =
              left < 0 ? "9999-12-31T23:59:59.000000Z"
                       : iso_time(std::chrono::duration_cast<std::chrono::microseconds>(now).count() +
                                  static_cast<int64_t>(left * 1e6));
          models.push_back(std::move(one));
        }
        return respond_json({{"models", std::move(models)}});
      },
      {false, true, "The models that are in memory (Ollama)", "OllamaModels"});
  own("POST", "/api/show",
      [this](const Call& call) {
        return in_words([&] {
          Json body = parse_body(call.request.body);
          Fields f(body, call.schema);
          take_names(f);
          bool is_verbose = false;
          f.flag("verbose", is_verbose);
          f.finish();
          return respond_json(show_json(host_of(call.request)));
        });
      },
      {false, false, "What a model is (Ollama)"});
  own("POST", "/api/pull",
      [this](const Call& call) {
        return in_words([&]() -> std::unique_ptr<Responder> {
          Json body = parse_body(call.request.body);
          Fields f(body, call.schema);
          bool streams = true, is_insecure = false;
          take_names(f);
          f.flag("stream", streams);
          f.flag("insecure", is_insecure);
          f.finish();
          try {
            host_of(call.request);
          } catch (const ApiError& error) {
            throw ApiError(error.status, error.message + "; the server downloads nothing, `turgo pull` will");
          }
          if (!streams) return respond_json({{"status", "success"}});
          return respond_with({{200, "application/x-ndjson", {}},
                               "{\"status\":\"pulling manifest\"}\n{\"status\":\"success\"}\n"});
        });
      },
      {false, false, "Tells whether a model is here (Ollama)", "", "application/x-ndjson"});
}

}  // namespace turgo
