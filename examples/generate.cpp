// The C++ API in its two levels: Pipeline (text in, text out), and below it Engine, Request and Stream
// (tokens in, tokens out).
//   ./generate MODEL "Question"
#include <fmt/format.h>

#include <cstdio>

#include "core/error.h"
#include "pipeline/pipeline.h"

namespace {

// Text: the model's chat template, streamed as it comes.
void answer(turgo::Pipeline& pipeline, const std::string& question) {
  turgo::GenerationConfig config;
  config.max_new_tokens = 40;
  config.temperature = 0;
  turgo::TextStream stream = pipeline.chat({turgo::Message::from_text("user", question)}, config);
  while (auto event = stream.next()) {
    fmt::print("{}", event->text);
    std::fflush(stdout);
    if (event->finish != turgo::FinishReason::kNone) break;
  }
  fmt::print("\n");
}

// Tokens: two requests that run at once, in one batch; each gets the tokens that it would get alone.
void count_both(turgo::Pipeline& pipeline) {
  turgo::Request request;
  request.input_ids = pipeline.tokenizer().encode("One, two, three,", false);
  request.max_new_tokens = 8;
  request.sampling.temperature = 0;
  std::unique_ptr<turgo::Stream> first = pipeline.engine().submit(request);
  std::unique_ptr<turgo::Stream> second = pipeline.engine().submit(request);
  for (turgo::Stream* stream : {first.get(), second.get()}) {
    std::vector<int32_t> ids;
    while (auto event = stream->next())  // no more after the event with a finish reason
      for (const turgo::OutputToken& token : event->tokens) ids.push_back(token.token_id);
    fmt::print("{}\n", fmt::join(ids, " "));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: generate MODEL QUESTION\n");
    return 2;
  }
  try {
    turgo::PipelineConfig config;
    config.session_len = 2048;
    auto pipeline = turgo::Pipeline::open(argv[1], config);
    answer(*pipeline, argv[2]);
    count_both(*pipeline);
  } catch (const turgo::Error& error) {
    fmt::print(stderr, "generate: {}\n", error.what());
    return 1;
  }
}
