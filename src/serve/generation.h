// A request to the model on its way through the server: one or more answers that run at once, and the format
// in which they go out. Common to all interfaces; each of them is an AnswerFormat.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/pipeline.h"
#include "serve/fields.h"
#include "serve/http/http_server.h"
#include "serve/metrics.h"

namespace turgo {

struct Choice {
  TextStream stream;
  size_t prompt = 0;  // which prompt of the request it answers
  std::string text;
  std::vector<OutputToken> tokens;
  FinishReason finish = FinishReason::kNone;
  RequestStats stats;
  std::function<void(size_t num_generated)> on_close;  // the answer is over, however it ended
  Metrics::Clock::time_point last_tokens = {};
};

class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;
  virtual std::string content_type() const { return "text/event-stream"; }  // of a stream
  // What a stream begins with, what event `event` of a choice adds, and what it ends with.
  virtual std::string begin(const std::vector<Choice>& choices) { return static_cast<void>(choices), ""; }
  virtual std::string piece(const std::vector<Choice>& choices, size_t index, const TextEvent& event) = 0;
  virtual std::string end(const std::vector<Choice>& choices) { return static_cast<void>(choices), ""; }
  virtual std::string failure(const ApiError& error) { return "data: " + error_json(error) + "\n\n"; }
  // A cancel from elsewhere is an ordinary end of this interface's answers.
  virtual bool ends_quietly() const { return false; }
  virtual std::string whole(const std::vector<Choice>& choices) = 0;
  // The request is over, also by an error or because the client has left.
  virtual void closed(const std::vector<Choice>& choices) { static_cast<void>(choices); }
};

std::unique_ptr<Responder> respond_with_answers(std::vector<Choice> choices,
                                                std::unique_ptr<AnswerFormat> format, bool streams,
                                                Metrics& metrics);

// Every field that says how tokens are chosen and when an answer ends, under the names of OpenAI, vLLM and
// LMDeploy. The defaults are those of `config`.
void take_sampling(Fields& fields, GenerationConfig& config, int32_t vocab_size);

std::string dump_json(const Json& value);  // broken UTF-8 becomes U+FFFD
std::string random_id(const std::string& prefix);
// What OpenAI calls the reason: "stop" or "length".
const char* openai_finish(FinishReason reason);

}  // namespace turgo
