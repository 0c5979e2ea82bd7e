// `turgo serve api_client`: the terminal chat of `turgo chat` over a server. LMDeploy's interactive route
// keeps the conversation on the server; a server without it gets the whole conversation with each turn
// (/v1/chat/completions).
#include <chrono>
#include <optional>
#include <random>

#include "apps/chat_loop.h"
#include "apps/command.h"
#include "apps/output.h"
#include "core/error.h"
#include "core/json.h"
#include "core/log.h"
#include "pipeline/generation_config.h"
#include "serve/client/http_exchange.h"

namespace turgo {
namespace {

using Clock = std::chrono::steady_clock;

struct ApiClient {
  std::string url, api_key, system, model_name;
  std::optional<int32_t> session_id;
  GenerationConfig generation;
};

void fill(ApiClient& o, OptionList& list) {
  list.add("api_server_url", &o.url, "address of the server: http://localhost:23333").positional();
  list.add("api_key", &o.api_key, "the key that the server asks for").label("KEY");
  list.add("session_id", &o.session_id, "number of the conversation on the server")
      .range(0)
      .label("N")
      .shown_default("a random one");
  list.add("model_name", &o.model_name, "which of the server's models")
      .label("NAME")
      .shown_default("its first");
  list.add("system", &o.system, "system prompt").label("TEXT");
  list_options(o.generation, list);
}

// What a server said that is no answer, as one line.
std::string error_text(int status, const std::string& body) {
  Json json = Json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("error") && json["error"].is_object() &&
      json["error"].contains("message") && json["error"]["message"].is_string())
    return json["error"]["message"].get<std::string>();
  return fmt::format("HTTP {}: {}", status, quote(body, 200));
}

class ServerChat : public ChatLoop {
 public:
  ServerChat(const ApiClient& o) : o_(o), server_(parse_server_url(o.url)), system_(o.system) {
    session_id_ = o.session_id ? *o.session_id : static_cast<int32_t>(std::random_device{}() >> 1);
    model_ = o.model_name.empty() ? first_model() : o.model_name;
  }
  ~ServerChat() override {
    try {
      end_session();
    } catch (const std::exception& error) {  // the server has gone: nothing is left to end
      log_info("the session was not ended: {}", error.what());
    }
  }

 private:
  void ask(const std::string& text) override {
    messages_.push_back({{"role", "user"}, {"content", text}});
    answer();
  }
  void regenerate() override {
    if (messages_.empty()) fail(ErrorCode::kInvalidArgument, "there is no question to answer again");
    if (messages_.back()["role"] == "assistant") messages_.erase(messages_.end() - 1);
    num_on_server_ = 0;
    answer();
  }
  void forget() override {
    messages_ = Json::array();
    end_session();
  }
  void set_system(const std::string& text) override {
    system_ = text;
    num_on_server_ = 0;
  }
  void print_stats() const override {
    double speed =
        tokens_ > 1 && seconds_ > first_ ? static_cast<double>(tokens_ - 1) / (seconds_ - first_) : 0;
    write_stdout(
        fmt::format("prompt {} tokens beside {} that the server knew; answer {} tokens, {:.1f} tokens/s, "
                    "first text after {:.0f} ms\n",
                    input_tokens_, history_tokens_, tokens_, speed, first_ * 1000));
  }

  HttpExchange::Request post(const std::string& path, const Json& body) const {
    return {"POST", path, body.dump(-1, ' ', false, Json::error_handler_t::replace), o_.api_key};
  }

  std::string first_model() {
    HttpAnswer got = fetch(server_, {"GET", "/v1/models", "", o_.api_key});
    if (got.status == 401) fail(ErrorCode::kInvalidArgument, "the server wants a key: --api-key KEY");
    Json json = Json::parse(got.body, nullptr, false);
    bool good = got.status == 200 && json.is_object() && json.contains("data") && json["data"].is_array() &&
                !json["data"].empty() && json["data"][0].is_object() &&
                json["data"][0].value("id", Json()).is_string();
    if (!good)
      fail(ErrorCode::kIo, "{}: no model is served there: {}", o_.url, error_text(got.status, got.body));
    return json["data"][0]["id"].get<std::string>();
  }

  void end_session() {
    if (stateful_ && num_on_server_ > 0)
      fetch(server_,
            post("/v1/chat/interactive", {{"prompt", ""},
                                          {"model", model_},
                                          {"session_id", session_id_},
                                          {"interactive_mode", false},
                                          {"request_output_len", 0}}),
            10);
    num_on_server_ = 0;
  }

  Json sampling() const {
    const GenerationConfig& g = o_.generation;
    Json body = {{"model", model_},  {"stream", true},   {"temperature", g.temperature},
                 {"top_p", g.top_p}, {"top_k", g.top_k}, {"repetition_penalty", g.repetition_penalty}};
    if (!g.stop.empty()) body["stop"] = g.stop;
    if (g.seed) body["seed"] = *g.seed;
    if (g.ignore_eos) body["ignore_eos"] = true;
    if (!g.skip_special_tokens) body["skip_special_tokens"] = false;
    if (g.min_p > 0) body["min_p"] = g.min_p;
    if (g.min_new_tokens > 0) body["min_tokens"] = g.min_new_tokens;
    if (g.presence_penalty != 0) body["presence_penalty"] = g.presence_penalty;
    if (g.frequency_penalty != 0) body["frequency_penalty"] = g.frequency_penalty;
    return body;
  }

  // The whole conversation with the system prompt in front.
  Json conversation() const {
    Json all = Json::array();
    if (!system_.empty()) all.push_back({{"role", "system"}, {"content", system_}});
    for (const Json& message : messages_) all.push_back(message);
    return all;
  }

  HttpExchange::Request request() {
    Json body = sampling();
    if (!stateful_) {
      body["messages"] = conversation();
      body["max_tokens"] = o_.generation.max_new_tokens;
      body["stream_options"] = {{"include_usage", true}};
      return post("/v1/chat/completions", body);
    }
    body["session_id"] = session_id_;
    body["interactive_mode"] = true;
    body["request_output_len"] = o_.generation.max_new_tokens;
    bool continues = num_on_server_ > 0;
    body["prompt"] = continues ? messages_.back()["content"] : conversation();
    return post("/v1/chat/interactive", body);
  }

  void answer() {
    interrupt_.reset();
    if (!reader_.interactive()) write_stdout("\n");
    if (stateful_ && num_on_server_ == 0) {
      num_on_server_ = 1;  // what an earlier conversation left under this number
      end_session();
    }
    try {
      stream();
      num_on_server_ = messages_.size();
    } catch (const std::exception&) {
      write_stdout("\n");
      num_on_server_ = 0;  // whatever the server kept, the next turn tells it everything
      if (!messages_.empty() && messages_.back()["role"] == "user") messages_.erase(messages_.end() - 1);
      throw;
    }
  }

  void stream() {
    auto start = Clock::now();
    text_.clear();
    finish_.clear();
    tokens_ = input_tokens_ = history_tokens_ = 0;
    first_ = seconds_ = 0;
    auto exchange = std::make_unique<HttpExchange>(server_, request());
    LineCutter cutter;
    std::string refused;
    bool cancelled = false;
    while (!exchange->done()) {
      exchange->wait(50);
      if (interrupt_.pressed() && !cancelled) {
        cancelled = true;
        if (!stateful_) break;
        fetch(server_,
              post("/v1/chat/interactive",
                   {{"prompt", ""}, {"model", model_}, {"session_id", session_id_}, {"cancel", true}}),
              10);
      }
      if (exchange->status() == 404 && stateful_) {
        stateful_ = false;  // not LMDeploy's kind of server
        exchange = std::make_unique<HttpExchange>(server_, request());
        continue;
      }
      if (exchange->status() != 200) {
        refused += exchange->take_body();
        continue;
      }
      cutter.add(exchange->take_body());
      for (std::string line; stateful_ ? cutter.next(line) : cutter.next_event(line);)
        take(line, std::chrono::duration<double>(Clock::now() - start).count(), cancelled);
    }
    if (exchange->status() != 200 && exchange->status() != 0)
      fail(ErrorCode::kInvalidArgument, "{}", error_text(exchange->status(), refused));
    if (finish_ == "length" && tokens_ == 0)
      fail(ErrorCode::kTooLong, "the conversation is longer than the server's context");
    write_stdout("\n");
    messages_.push_back({{"role", "assistant"}, {"content", text_}});
    if (finish_ == "length" && reader_.interactive())
      write_stdout(fmt::format("(cut after {} tokens; --max-new-tokens allows more)\n", tokens_));
    if (cancelled && !reader_.interactive()) exit_code_ = 130;
  }

  // One line of the stream; what is no such line is an error of the server's.
  void take(const std::string& line, double seconds, bool is_silent) {
    if (line.empty() || line == "[DONE]") return;
    Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || json.contains("error")) fail(ErrorCode::kIo, "{}", error_text(200, line));
    std::string text;
    auto number = [](const Json& object, const char* key, int64_t& value) {
      if (object.contains(key) && object[key].is_number_integer()) value = object[key].get<int64_t>();
    };
    auto word = [](const Json& object, const char* key, std::string& value) {
      if (object.contains(key) && object[key].is_string()) value = object[key].get<std::string>();
    };
    if (stateful_) {
      word(json, "text", text);
      word(json, "finish_reason", finish_);
      number(json, "tokens", tokens_);
      number(json, "input_tokens", input_tokens_);
      number(json, "history_tokens", history_tokens_);
    } else {
      if (json.contains("usage") && json["usage"].is_object()) {
        number(json["usage"], "completion_tokens", tokens_);
        number(json["usage"], "prompt_tokens", input_tokens_);
      }
      if (json.contains("choices") && json["choices"].is_array() && !json["choices"].empty()) {
        const Json& choice = json["choices"][0];
        word(choice, "finish_reason", finish_);
        if (choice.contains("delta") && choice["delta"].is_object()) word(choice["delta"], "content", text);
      }
    }
    if (first_ == 0 && !text.empty()) first_ = seconds;
    seconds_ = seconds;
    if (is_silent) return;
    text_ += text;
    write_stdout(text);
  }

  const ApiClient& o_;
  ServerUrl server_;
  std::string system_, model_;
  int32_t session_id_ = 0;
  Json messages_ = Json::array();
  bool stateful_ = true;
  size_t num_on_server_ = 0;   // messages that the server's session holds; 0: tell it everything
  std::string text_, finish_;  // of the answer that comes
  int64_t tokens_ = 0, input_tokens_ = 0, history_tokens_ = 0;
  double first_ = 0, seconds_ = 0;
};

int run(const ApiClient& o) {
  return ServerChat(o).run();
}

}  // namespace

Command serve_api_client_command() {
  return make_command("serve api_client", "Talk to a model behind a server", fill, run, kChatHelp);
}

}  // namespace turgo
