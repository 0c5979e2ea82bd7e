// Any number of answers that come at once, waited for together. With `whole` next() gives only complete
// answers, so that a batch costs Python one call per answer and not one per token.
#include <nanobind/stl/string.h>
#include <sys/eventfd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

#include "bindings/model.h"
#include "core/error.h"

namespace turgo::python {
namespace {

using Clock = std::chrono::steady_clock;

// Where the engine's thread leaves word that an answer has something; outlives the Answers.
struct Inbox {
  std::mutex mutex;
  std::condition_variable came;
  std::deque<int32_t> ready;  // each index at most once
  std::vector<bool> is_ready;
  int event_fd = -1;  // readable while `ready` is not empty; for asyncio

  ~Inbox() {
    if (event_fd >= 0) ::close(event_fd);
  }
  void put(int32_t index) {
    std::lock_guard lock(mutex);
    auto i = static_cast<size_t>(index);
    if (is_ready.size() <= i) is_ready.resize(i + 1);
    if (is_ready[i]) return;
    is_ready[i] = true;
    ready.push_back(index);
    came.notify_one();
    signal();
  }
  void signal() const {
    if (event_fd >= 0) eventfd_write(event_fd, 1);  // can only fail when it is readable already
  }
  std::deque<int32_t> take(Clock::time_point deadline) {
    std::unique_lock lock(mutex);
    came.wait_until(lock, deadline, [&] { return !ready.empty(); });
    for (int32_t index : ready) is_ready[static_cast<size_t>(index)] = false;
    eventfd_t count;
    if (event_fd >= 0) eventfd_read(event_fd, &count);
    return std::exchange(ready, {});
  }
};

struct Piece {
  int32_t index;
  TextEvent event;
  int32_t num_input_tokens;
};

class Answers {
 public:
  explicit Answers(bool whole) : whole_(whole) {}
  ~Answers();

  void submit(int32_t index, const Model& model, const nb::object& input, bool is_chat,
              const Generation& generation, const std::string& session, const nb::object& template_kwargs);
  nb::list next(double timeout_seconds);
  void cancel();
  int file_number();

 private:
  struct Entry {
    TextStream stream;
    TextEvent so_far;  // with whole_
  };
  void fetch(int32_t index, std::vector<Piece>& out);

  Birthplace birthplace_;
  bool whole_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::mutex mutex_;  // entries_; never held while waiting
  std::map<int32_t, Entry> entries_;
};

// (index, text, token ids, logprobs or None, finish reason or None, error, prompt tokens, cached tokens)
nb::tuple to_tuple(Piece& piece) {
  const TextEvent& event = piece.event;
  nb::list ids, logprobs;
  for (const OutputToken& token : event.tokens) {
    ids.append(token.token_id);
    if (token.top_logprobs.empty() && token.logprob == 0) continue;
    nb::dict best;
    best[nb::int_(token.token_id)] = token.logprob;
    for (const TokenLogprob& other : token.top_logprobs) best[nb::int_(other.token_id)] = other.logprob;
    logprobs.append(best);
  }
  nb::object finish = nb::none();
  if (event.finish != FinishReason::kNone) finish = nb::str(finish_reason_name(event.finish));
  return nb::make_tuple(piece.index, nb::str(event.text.data(), event.text.size()), ids,
                        nb::len(logprobs) > 0 ? nb::object(logprobs) : nb::none(), finish, event.error,
                        piece.num_input_tokens, event.stats.cached_tokens);
}

Answers::~Answers() {
  if (birthplace_.is_here()) {
    nb::gil_scoped_release unlocked;
    entries_.clear();
    return;
  }
  // In a forked child the streams' locks may be held for ever by threads that are not there.
  new std::map<int32_t, Entry>(std::move(entries_));
  new std::shared_ptr<Inbox>(std::move(inbox_));
}

void Answers::submit(int32_t index, const Model& model, const nb::object& input, bool is_chat,
                     const Generation& generation, const std::string& session,
                     const nb::object& template_kwargs) {
  if (index < 0) fail(ErrorCode::kInvalidArgument, "index: expected a number >= 0, got {}", index);
  TextStream stream = model.submit(input, is_chat, generation, {session, ""}, template_kwargs);
  nb::gil_scoped_release unlocked;
  std::lock_guard lock(mutex_);
  auto [at, is_new] = entries_.try_emplace(index, Entry{std::move(stream), {}});
  if (!is_new) fail(ErrorCode::kInvalidArgument, "index {} is in use", index);
  at->second.stream.set_listener([inbox = inbox_, index] { inbox->put(index); });
}

void Answers::fetch(int32_t index, std::vector<Piece>& out) {
  auto at = entries_.find(index);
  if (at == entries_.end()) return;
  Entry& entry = at->second;
  while (auto event = entry.stream.next(std::chrono::milliseconds(0))) {
    bool is_last = event->finish != FinishReason::kNone;
    if (whole_) {
      entry.so_far.text += event->text;
      for (OutputToken& token : event->tokens) entry.so_far.tokens.push_back(std::move(token));
      event->text = is_last ? std::move(entry.so_far.text) : "";
      event->tokens = is_last ? std::move(entry.so_far.tokens) : std::vector<OutputToken>();
    }
    if (!whole_ || is_last) out.push_back({index, std::move(*event), entry.stream.num_input_tokens()});
    if (!is_last) continue;
    entries_.erase(at);
    return;
  }
}

nb::list Answers::next(double timeout_seconds) {
  birthplace_.require("the answer");
  std::vector<Piece> pieces;
  {
    nb::gil_scoped_release unlocked;
    auto deadline = Clock::now() + std::chrono::microseconds(static_cast<int64_t>(timeout_seconds * 1e6));
    do {
      std::deque<int32_t> ready = inbox_->take(deadline);
      std::lock_guard lock(mutex_);
      for (int32_t index : ready) fetch(index, pieces);
    } while (pieces.empty() && Clock::now() < deadline);
  }
  nb::list out;
  for (Piece& piece : pieces) out.append(to_tuple(piece));
  return out;
}

void Answers::cancel() {
  if (!birthplace_.is_here()) return;
  nb::gil_scoped_release unlocked;
  std::lock_guard lock(mutex_);
  for (auto& [index, entry] : entries_) entry.stream.cancel();
}

int Answers::file_number() {
  birthplace_.require("the answer");
  std::lock_guard lock(inbox_->mutex);
  if (inbox_->event_fd < 0) {
    inbox_->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (inbox_->event_fd < 0)
      fail(ErrorCode::kResourceExhausted, "no file descriptor is left for the answer");
    if (!inbox_->ready.empty()) inbox_->signal();
  }
  return inbox_->event_fd;
}

}  // namespace

void bind_answers(nb::module_& m) {
  nb::class_<Answers>(m, "Answers")
      .def(nb::init<bool>(), nb::arg("whole"))
      .def("submit", &Answers::submit, nb::arg("index"), nb::arg("model"), nb::arg("input"),
           nb::arg("is_chat"), nb::arg("generation"), nb::arg("session"), nb::arg("template_kwargs").none())
      .def("next", &Answers::next, nb::arg("timeout_seconds"))
      .def("cancel", &Answers::cancel)
      .def("fileno", &Answers::file_number);
}

}  // namespace turgo::python
