// POST /v1/embeddings (https://platform.openai.com/docs/api-reference/embeddings).
#include "serve/embeddings/embeddings.h"

#include <bit>
#include <cstring>

#include "serve/dialects/dialects.h"
#include "serve/late_responder.h"

namespace turgo {
namespace {

constexpr size_t kMaxInputs = 2048;  // OpenAI's

std::string base64(std::span<const float> values) {
  static_assert(std::endian::native == std::endian::little);
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  size_t n = values.size_bytes();
  std::string out;
  out.reserve((n + 2) / 3 * 4);
  for (size_t i = 0; i < n; i += 3) {
    uint32_t group = uint32_t{bytes[i]} << 16 | (i + 1 < n ? uint32_t{bytes[i + 1]} << 8 : 0) |
                     (i + 2 < n ? uint32_t{bytes[i + 2]} : 0);
    out += kDigits[group >> 18];
    out += kDigits[group >> 12 & 63];
    out += i + 1 < n ? kDigits[group >> 6 & 63] : '=';
    out += i + 2 < n ? kDigits[group & 63] : '=';
  }
  return out;
}

struct EmbeddingRequest {
  std::vector<std::vector<int32_t>> inputs;
  size_t dimensions = 0;
  bool as_base64 = false;
};

}  // namespace

std::vector<float> Embedder::embed(const std::vector<int32_t>& ids, size_t dimensions,
                                   const std::atomic<bool>& cancelled) {
  PoolingConfig pooling;
  {
    std::lock_guard lock(mutex_);
    if (!pooling_) pooling_ = read_pooling(server_.pipeline().info().path);
    pooling = *pooling_;
  }
  Pool pool(pooling);
  server_.pipeline().engine().compute_hidden(ids, [&](int32_t, std::span<const float> row) {
    if (cancelled) fail(ErrorCode::kCancelled, "the client has left");
    pool.add(row);
  });
  return pool.finish(dimensions);
}

Json embedding_input_schema() {
  Json text = {{"type", "string"}};
  Json ids = {{"type", "array"}, {"items", {{"type", "integer"}, {"minimum", 0}}}, {"minItems", 1}};
  Json one = {{"anyOf", Json::array({text, ids})}};
  Json many = {{"type", "array"}, {"items", std::move(one)}, {"maxItems", kMaxInputs}};
  return {{"anyOf", Json::array({std::move(text), std::move(ids), std::move(many)})}};
}

void Embedder::check_dimensions(int32_t dimensions) {
  if (static_cast<size_t>(dimensions) > hidden_size())
    bad_field("dimensions", "expected at most {}, the model's own, got {}", hidden_size(), dimensions);
}

std::vector<std::vector<int32_t>> Embedder::read_inputs(const Json& input, const std::string& field,
                                                        bool truncates) {
  std::vector<std::vector<int32_t>> out;
  Pipeline& pipeline = server_.pipeline();
  auto add_ids = [&](const Json& list) {
    std::vector<int32_t> ids;
    for (const Json& id : list) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= pipeline.vocab_size())
        bad_field(field, "expected token ids from 0 to {}, got {}", pipeline.vocab_size() - 1, shown(id));
      ids.push_back(id.get<int32_t>());
    }
    out.push_back(std::move(ids));
  };
  auto add = [&](const Json& one) {
    if (one.is_string())
      out.push_back(pipeline.prompt_tokens({Segment::from_text(one.get<std::string>())}));
    else if (one.is_array() && !one.empty() && one[0].is_number())
      add_ids(one);
    else
      bad_field(field, "expected texts or lists of token ids, got {}", shown(one));
  };
  bool is_list = input.is_array() && !input.empty() && !input[0].is_number();
  if (is_list && input.size() > kMaxInputs)
    bad_field(field, "expected at most {} texts, got {}", kMaxInputs, input.size());
  if (is_list)
    for (const Json& one : input) add(one);
  else
    add(input);
  for (auto& ids : out) {
    if (truncates && ids.size() > static_cast<size_t>(pipeline.session_len()))
      ids.resize(static_cast<size_t>(pipeline.session_len()));
    if (ids.empty()) bad_field(field, "expected texts of at least one token, got an empty one");
    if (ids.size() > static_cast<size_t>(pipeline.session_len()))
      throw ApiError(400,
                     fmt::format("{}: the model's context holds {} tokens, got a text of {}", field,
                                 pipeline.session_len(), ids.size()),
                     field, "context_length_exceeded");
  }
  return out;
}

void add_embedding_routes(ApiServer& server) {
  auto embedder = std::make_shared<Embedder>(server);
  auto route = [&server, embedder](const Call& call) {
    Json body = parse_body(call.request.body);
    Fields f(body, call.schema);
    auto request = std::make_shared<EmbeddingRequest>();
    server.check_model(f);
    const Json* input = f.need("input", "a text or a list of texts", embedding_input_schema);
    int32_t dimensions = 0;
    f.integer("dimensions", dimensions, 1, INT32_MAX);
    std::string format = "float";
    f.choice("encoding_format", format, {"float", "base64"});
    f.harmless({"user"});
    f.finish();
    embedder->check_dimensions(dimensions);
    request->inputs = embedder->read_inputs(*input, "input", false);
    request->dimensions = static_cast<size_t>(dimensions);
    request->as_base64 = format == "base64";
    return respond_later([&server, embedder, request](const std::atomic<bool>& cancelled) -> HttpResponse {
      Json data = Json::array();
      size_t num_tokens = 0;
      for (size_t i = 0; i < request->inputs.size(); ++i) {
        std::vector<float> values = embedder->embed(request->inputs[i], request->dimensions, cancelled);
        num_tokens += request->inputs[i].size();
        Json embedding = request->as_base64 ? Json(base64(values)) : Json(values);
        data.push_back({{"object", "embedding"}, {"index", i}, {"embedding", std::move(embedding)}});
      }
      return {{},
              dump_json({{"object", "list"},
                         {"data", std::move(data)},
                         {"model", server.config().model_name},
                         {"usage", {{"prompt_tokens", num_tokens}, {"total_tokens", num_tokens}}}})};
    });
  };
  server.routes().add("POST", "/v1/embeddings", route,
                      {false, false, "Vectors of texts (OpenAI)", "Embeddings"});
}

}  // namespace turgo
