#include "serve/openapi/openapi.h"

#include <memory>
#include <mutex>

#include "serve/models/model_router.h"

namespace turgo {
namespace {

// "{id*}" is "{id}" to others. Names of the parameters come with it.
std::string plain_path(const std::string& path, std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < path.size(); ++i) {
    out += path[i];
    if (path[i] != '{') continue;
    std::string name = path.substr(i + 1, path.find('}', i) - i - 1);
    i += name.size();
    if (name.ends_with('*')) name.pop_back();
    out += name;
    names.push_back(name);
  }
  return out;
}

std::string operation_id(const std::string& method, const std::string& path) {
  std::string out = method;
  for (char& c : out) c = static_cast<char>(c + 32);
  for (char c : path) {
    bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (is_plain || out.back() != '_') out += is_plain ? c : '_';
  }
  while (out.back() == '_') out.pop_back();
  return out;
}

// What the route asks its body for; nothing is done.
void record(const RouteTable::Entry& entry, size_t num_params, FieldSchema& schema) {
  HttpRequest request;
  request.method = entry.method;
  request.path = entry.path;
  request.body = "{}";
  Call call{request, "", std::vector<std::string>(num_params, "0")};
  call.schema = &schema;
  try {
    entry.route(call);  // comes back only where nothing is read, which a test forbids
  } catch (const SchemaRecorded&) {
  }
}

Json parameter(const std::string& name, const char* in) {
  return {{"name", name}, {"in", in}, {"required", *in == 'p'}, {"schema", {{"type", "string"}}}};
}

Json answer_content(const RouteInfo& info) {
  std::string answer = info.answer;
  if (answer.find('/') != answer.npos) return {{answer, {{"schema", {{"type", "string"}}}}}};
  Json schema = Json::object();
  if (!answer.empty()) schema["$ref"] = "#/components/schemas/" + answer;
  Json content = {{"application/json", {{"schema", std::move(schema)}}}};
  if (*info.stream) content[info.stream] = Json::object();  // 3.1 has no words for the events of a stream
  return content;
}

Json operation(const RouteTable::Entry& entry, const std::vector<std::string>& params, bool has_keys) {
  Json out = {{"operationId", operation_id(entry.method, entry.path)}, {"summary", entry.info.summary}};
  for (const std::string& name : params) out["parameters"].push_back(parameter(name, "path"));
  for (const char* name : entry.info.query) out["parameters"].push_back(parameter(name, "query"));
  if (entry.method == "POST") {
    FieldSchema schema;
    record(entry, params.size(), schema);
    out["requestBody"] = {{"required", !schema.is_optional()},
                          {"content", {{"application/json", {{"schema", schema.to_json()}}}}}};
  }
  out["responses"] = {{"200", {{"description", "The answer"}, {"content", answer_content(entry.info)}}},
                      {"default", {{"$ref", "#/components/responses/Error"}}}};
  if (has_keys && !entry.info.is_open) out["security"] = Json::array({{{"key", Json::array()}}});
  return out;
}

}  // namespace

Json describe_api(const RouteTable& routes, const DescriptionConfig& config) {
  Json paths = Json::object();
  for (const auto& [path, entries] : routes.all()) {
    if (path.empty()) continue;  // only leads to "/"
    std::vector<std::string> params;
    Json& item = paths[config.prefix + plain_path(path, params)];
    for (const RouteTable::Entry& entry : entries) {
      std::string method = entry.method;
      for (char& c : method) c = static_cast<char>(c + 32);
      item[method] = operation(entry, params, config.has_keys);
    }
  }
  Json error = {{"description", "What is wrong, in the form of the interface that was called"},
                {"content", {{"application/json", {{"schema", {{"$ref", "#/components/schemas/Error"}}}}}}}};
  Json components = {{"schemas", response_components()}, {"responses", {{"Error", std::move(error)}}}};
  if (config.has_keys) components["securitySchemes"] = {{"key", {{"type", "http"}, {"scheme", "bearer"}}}};
  return {{"openapi", "3.1.0"},
          {"info",
           {{"title", "Turgo"},
            {"version", TURGO_VERSION},
            {"description",
             "Language models over the interfaces of OpenAI, LMDeploy, vLLM, llama.cpp, Anthropic and "
             "Ollama. A field that is not listed is refused; null counts as absent."}}},
          {"paths", std::move(paths)},
          {"components", std::move(components)}};
}

void add_description_routes(ModelRouter& router) {
  struct Made {
    std::once_flag once;
    std::string text;
  };
  auto made = std::make_shared<Made>();
  ApiServer& front = router.front();
  router.own("GET", "/openapi.json",
             [made, &front](const Call&) {
               std::call_once(made->once, [&] {
                 made->text = dump_json(
                     describe_api(front.routes(), {front.config().api_prefix, !front.keys().is_open()}));
               });
               return respond_with({{}, made->text});
             },
             {false, false, "This description"});
  router.own("GET", "/docs",
             [](const Call&) { return respond_with({{200, "text/html; charset=utf-8", {}}, docs_page()}); },
             {false, true, "This description, to read", "text/html"});
}

}  // namespace turgo
