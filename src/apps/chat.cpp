// `turgo chat`: talk to a model as LMDeploy's users know it, on a terminal or through a pipe.
#include <random>

#include "apps/chat_loop.h"
#include "apps/command.h"
#include "apps/output.h"
#include "core/error.h"
#include "pipeline/chat_session.h"

namespace turgo {
namespace {

struct Chat {
  std::string model, system, meta_instruction;
  GenerationConfig generation;
  PipelineConfig pipeline;
};

void fill(Chat& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file").positional();
  list.add("system", &o.system, "system prompt").label("TEXT");
  list.add("meta_instruction", &o.meta_instruction, "LMDeploy's old name of --system").label("TEXT");
  list_options(o.generation, list);
  list_options(o.pipeline, list);
}

class LocalChat : public ChatLoop {
 public:
  LocalChat(Pipeline& pipeline, const Chat& options)
      : pipeline_(pipeline),
        generation_(options.generation),
        session_(pipeline, "chat", options.system.empty() ? options.meta_instruction : options.system) {
    // One seed per conversation: with --seed the whole of it can be repeated.
    std::random_device device;
    if (!generation_.seed) generation_.seed = uint64_t{device()} << 32 | device();
  }

 private:
  void ask(const std::string& text) override { answer(session_.ask(text, generation_)); }
  void regenerate() override {
    GenerationConfig again = generation_;  // another seed, or it would be the same answer
    again.seed = *generation_.seed + ++num_regenerated_;
    answer(session_.regenerate(again));
  }
  void forget() override { session_.clear(); }
  void set_system(const std::string& text) override { session_.set_system(text); }

  void answer(TextStream stream) {
    interrupt_.reset();
    if (!reader_.interactive()) write_stdout("\n");  // nobody's Enter ended the line of the prompt
    last_ = Answer{};
    last_.num_input_tokens = stream.num_input_tokens();
    bool cancelled = false;
    for (;;) {
      auto event = stream.next(std::chrono::milliseconds(50));
      if (interrupt_.pressed() && !cancelled) {
        cancelled = true;
        stream.cancel();
      }
      if (!event) continue;
      if (!cancelled) {
        write_stdout(event->text);
        last_.text += event->text;
      }
      last_.tokens.insert(last_.tokens.end(), event->tokens.begin(), event->tokens.end());
      last_.stats = event->stats;
      last_.finish = event->finish;
      if (event->finish == FinishReason::kError) {
        write_stdout("\n");
        session_.keep_answer(last_.text);
        fail(ErrorCode::kResourceExhausted, "{}", event->error);
      }
      if (event->finish != FinishReason::kNone) break;
    }
    write_stdout("\n");
    session_.keep_answer(last_.text);
    if (last_.finish == FinishReason::kLength && reader_.interactive())
      write_stdout(fmt::format("(cut after {} tokens; --max-new-tokens and --session-len allow more)\n",
                               last_.tokens.size()));
    if (cancelled && !reader_.interactive()) exit_code_ = 130;
  }

  void print_stats() const override {
    const RequestStats& s = last_.stats;
    double speed = last_.tokens.size() > 1 && s.decode_seconds > 0
                       ? static_cast<double>(last_.tokens.size() - 1) / s.decode_seconds
                       : 0;
    write_stdout(
        fmt::format("prompt {} tokens, {} of them from the cache; answer {} tokens, {:.1f} tokens/s, first "
                    "token after {:.0f} ms; "
                    "context {} of {} tokens; {} arithmetic\n",
                    last_.num_input_tokens, s.cached_tokens, last_.tokens.size(), speed,
                    s.ttft_seconds * 1000, last_.num_input_tokens + static_cast<int32_t>(last_.tokens.size()),
                    pipeline_.session_len(), pipeline_.info().precision));
  }

  Pipeline& pipeline_;
  GenerationConfig generation_;
  ChatSession session_;
  Answer last_;
  uint64_t num_regenerated_ = 0;
};

int run(const Chat& o) {
  auto pipeline = Pipeline::open(o.model, o.pipeline);
  pipeline->require_chat_template();
  return LocalChat(*pipeline, o).run();
}

}  // namespace

Command chat_command() {
  return make_command("chat", "Talk to a model", fill, run, kChatHelp);
}

}  // namespace turgo
