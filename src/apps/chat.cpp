// `turgo chat`: talk to a model as LMDeploy's users know it, on a terminal or through a pipe.
#include <cstdio>
#include <random>

#include "apps/chat_input.h"
#include "apps/command.h"
#include "apps/output.h"
#include "apps/terminal/terminal.h"
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

constexpr const char* kHelp =
    "An empty line sends. Commands, sent the same way:\n"
    "  exit          leave (also Ctrl-D)\n"
    "  end           forget the conversation\n"
    "  /system TEXT  set the system prompt from the next turn on; without TEXT: none\n"
    "  /regen        answer the last question again\n"
    "  /stats        speed and context use of the last answer\n"
    "  /help         this list\n"
    "Ctrl-C stops an answer and keeps the conversation.\n";

class ChatLoop {
 public:
  ChatLoop(Pipeline& pipeline, const Chat& options)
      : pipeline_(pipeline),
        generation_(options.generation),
        session_(pipeline, "chat", options.system.empty() ? options.meta_instruction : options.system) {
    // One seed per conversation: with --seed the whole of it can be repeated.
    std::random_device device;
    if (!generation_.seed) generation_.seed = uint64_t{device()} << 32 | device();
  }

  int run() {
    for (;;) {
      ChatInput input = read_chat_input(reader_);
      if (input.kind == ChatInput::Kind::kInterrupt) {
        if (!reader_.interactive()) return 130;
        if (++num_interrupts_ > 1) return 0;
        write_stdout("(Ctrl-C again or Ctrl-D leaves)");
        continue;
      }
      num_interrupts_ = 0;
      if (input.kind == ChatInput::Kind::kExit || input.kind == ChatInput::Kind::kEndOfInput)
        return exit_code_;
      try {
        handle(input);
      } catch (const Error& error) {
        report(error);
      }
      if (input.is_last) return exit_code_;
    }
  }

 private:
  void handle(const ChatInput& input) {
    switch (input.kind) {
      case ChatInput::Kind::kMessage:
        if (!input.text.empty()) answer(session_.ask(input.text, generation_));
        break;
      case ChatInput::Kind::kRegenerate: {
        GenerationConfig again = generation_;  // another seed, or it would be the same answer
        again.seed = *generation_.seed + ++num_regenerated_;
        answer(session_.regenerate(again));
        break;
      }
      case ChatInput::Kind::kEnd:
        session_.clear();
        if (reader_.interactive()) write_stdout("(the conversation is forgotten)\n");
        break;
      case ChatInput::Kind::kSystem:
        session_.set_system(input.text);
        if (reader_.interactive())
          write_stdout(input.text.empty() ? "(no system prompt)\n" : "(system prompt set)\n");
        break;
      case ChatInput::Kind::kStats:
        print_stats();
        break;
      case ChatInput::Kind::kHelp:
        write_stdout(kHelp);
        break;
      case ChatInput::Kind::kUnknown:
        fail(ErrorCode::kInvalidArgument, "there is no command {}; /help lists them", input.text);
      default:
        break;
    }
  }

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

  void print_stats() const {
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

  // A turn that fails leaves the conversation as it was; through a pipe the exit code tells of it.
  void report(const Error& error) {
    std::fprintf(stderr, "turgo: %s%s\n", error.what(),
                 error.code() == ErrorCode::kTooLong ? "; `end` begins a new conversation" : "");
    if (!reader_.interactive()) exit_code_ = 2;
  }

  Pipeline& pipeline_;
  GenerationConfig generation_;
  ChatSession session_;
  LineReader reader_;
  InterruptGuard interrupt_;
  Answer last_;
  int exit_code_ = 0, num_interrupts_ = 0;
  uint64_t num_regenerated_ = 0;
};

int run(const Chat& o) {
  auto pipeline = Pipeline::open(o.model, o.pipeline);
  pipeline->require_chat_template();
  return ChatLoop(*pipeline, o).run();
}

}  // namespace

Command chat_command() {
  return make_command("chat", "Talk to a model", fill, run, kHelp);
}

}  // namespace turgo
