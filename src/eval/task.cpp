#include "eval/task.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json.h"
#include "core/mapped_file.h"
#include "eval/token_windows.h"
#include "text/utf8.h"

namespace turgo {
namespace {

const Json* first_of(const Json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (auto it = object.find(key); it != object.end()) return &*it;
  return nullptr;
}

std::string trimmed(std::string_view text) {
  const char* kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin));
}

// Unicode characters, as Python counts them.
size_t num_characters(const std::string& text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

int32_t gold_of(const Json& value, const std::vector<std::string>& choices) {
  if (value.is_number_integer())
    return static_cast<int32_t>(std::clamp<int64_t>(value.get<int64_t>(), -1, 1000));
  if (!value.is_string()) return -1;
  const auto text = value.get<std::string>();
  if (auto it = std::ranges::find(choices, text); it != choices.end())
    return static_cast<int32_t>(it - choices.begin());
  if (text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z') return text[0] - 'A';
  if (!text.empty() && text.size() <= 3 &&
      std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; }))
    return std::stoi(text);
  return -1;
}

Question question_of(const Json& object, const std::string& where) {
  auto bad = [&](const char* expected) {
    fail(ErrorCode::kInvalidArgument, "{}: expected {}, got {}", where, expected,
         quote(object.dump(-1, ' ', false, Json::error_handler_t::replace), 80));
  };
  Question q;
  if (!object.is_object()) bad("a JSON object");
  const Json* text = first_of(object, {"query", "question", "context", "ctx", "prompt"});
  if (!text || !text->is_string()) bad("a string \"query\" (or question, context, prompt)");
  q.text = text->get<std::string>();
  if (q.text.empty()) bad("a question that is not empty");
  const Json* choices = first_of(object, {"choices", "options", "endings"});
  const Json* answer = first_of(object, {"gold", "answer", "label", "target"});
  if (!answer) bad("\"gold\" (or answer, label, target)");
  if (!choices) {
    if (!answer->is_string()) bad("\"choices\", or a string \"answer\"");
    q.answer = answer->get<std::string>();
    return q;
  }
  // ARC's files say {"text": […], "label": ["A", …]}.
  const Json* labels = nullptr;
  if (choices->is_object()) {
    labels = first_of(*choices, {"label"});
    choices = first_of(*choices, {"text"});
  }
  if (!choices || !choices->is_array() || choices->size() < 2 || choices->size() > 1000 ||
      !std::ranges::all_of(
          *choices, [](const Json& c) { return c.is_string() && !c.get_ref<const std::string&>().empty(); }))
    bad("\"choices\": a list of 2 to 1,000 strings");
  for (const Json& choice : *choices) q.choices.push_back(choice.get<std::string>());
  if (labels && labels->is_array() && answer->is_string()) {
    auto it = std::ranges::find(*labels, *answer);
    q.gold = it == labels->end() ? -1 : static_cast<int32_t>(it - labels->begin());
  } else {
    q.gold = gold_of(*answer, q.choices);
  }
  if (q.gold < 0 || q.gold >= static_cast<int32_t>(q.choices.size()))
    bad("\"gold\": the index, the letter or the text of a choice");
  return q;
}

}  // namespace

Task read_task(const std::string& path, int64_t max_questions) {
  auto file = MappedFile::open(path);
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (!is_valid_utf8(text))
    fail(ErrorCode::kInvalidArgument, "{}: expected UTF-8 text, this is not", quote(path, 200));
  Task task;
  task.name = std::filesystem::path(path).stem().string();
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (trimmed(line).empty()) continue;
    const std::string where = fmt::format("{}: line {}", quote(path, 200), number);
    task.questions.push_back(question_of(parse_json(line, where), where));
    if (task.questions.back().choices.empty() != task.questions.front().choices.empty())
      fail(ErrorCode::kInvalidArgument, "{}: expected questions of one kind, with \"choices\" or without",
           where);
    if (max_questions > 0 && static_cast<int64_t>(task.questions.size()) >= max_questions) break;
  }
  if (task.questions.empty())
    fail(ErrorCode::kInvalidArgument, "{}: expected a question a line, found none", quote(path, 200));
  return task;
}

double Metric::mean() const {
  double sum = 0;
  for (double s : scores) sum += s;
  return scores.empty() ? 0 : sum / static_cast<double>(scores.size());
}

double Metric::standard_error() const {
  const auto n = static_cast<double>(scores.size());
  if (n < 2) return 0;
  const double middle = mean();
  double sum = 0;
  for (double s : scores) sum += (s - middle) * (s - middle);
  return std::sqrt(sum / (n - 1) / n);
}

PairedDifference paired_difference(const Metric& metric, const Metric& baseline) {
  CHECK_EQ(metric.scores.size(), baseline.scores.size());
  Metric difference{metric.name, metric.scores};
  for (size_t i = 0; i < baseline.scores.size(); ++i) difference.scores[i] -= baseline.scores[i];
  return {difference.mean(), difference.standard_error()};
}

double continuation_log_likelihood(Pipeline& pipeline, const std::string& context,
                                   const std::string& continuation) {
  // Spaces at the end of the context belong to the continuation's first token.
  const size_t cut =
      context.find_last_not_of(' ') == std::string::npos ? 0 : context.find_last_not_of(' ') + 1;
  const std::string head = context.substr(0, cut), tail = context.substr(cut) + continuation;
  const Tokenizer& tokenizer = pipeline.tokenizer();
  std::vector<int32_t> ids = tokenizer.encode(head + tail, false);
  const size_t num_context = std::min(tokenizer.encode(head, false).size(), ids.size() - 1);
  if (tokenizer.add_bos() && tokenizer.bos_id() >= 0) ids.insert(ids.begin(), tokenizer.bos_id());
  const size_t first = ids.size() - (tokenizer.encode(head + tail, false).size() - num_context);
  if (first == 0 || ids.size() > static_cast<size_t>(pipeline.session_len()))
    fail(ErrorCode::kTooLong, "a question of {} tokens: expected 2 to {}", ids.size(),
         pipeline.session_len());
  double sum = 0;
  pipeline.engine().compute_logits(ids, [&](int32_t index, std::span<const float> logits) {
    const auto next = static_cast<size_t>(index) + 1;
    if (next < first || next >= ids.size()) return;
    sum += static_cast<double>(logits[static_cast<size_t>(ids[next])]) - log_sum_exp(logits);
  });
  return sum;
}

namespace {

TaskResult run_choices(Pipeline& pipeline, const Task& task, const std::function<void(size_t)>& progress) {
  Metric acc{"acc", {}}, acc_norm{"acc_norm", {}};
  for (const Question& q : task.questions) {
    std::vector<double> plain, normed;
    for (const std::string& choice : q.choices) {
      plain.push_back(continuation_log_likelihood(pipeline, q.text, " " + choice));
      normed.push_back(plain.back() / static_cast<double>(num_characters(choice)));
    }
    auto right = [&](const std::vector<double>& v) {
      return std::ranges::max_element(v) - v.begin() == q.gold ? 1.0 : 0.0;
    };
    acc.scores.push_back(right(plain));
    acc_norm.scores.push_back(right(normed));
    if (progress) progress(acc.scores.size());
  }
  return {task.name, {acc, acc_norm}};
}

TaskResult run_generation(Pipeline& pipeline, const Task& task, const TaskOptions& options,
                          const std::function<void(size_t)>& progress) {
  Metric exact{"exact_match", {}}, contains{"contains", {}};
  GenerationConfig config;
  config.max_new_tokens = options.max_new_tokens;
  config.temperature = 0;
  config.stop = options.until;
  for (const Question& q : task.questions) {
    const std::string said = trimmed(pipeline.generate({Segment::from_text(q.text)}, config).collect().text);
    const std::string wanted = trimmed(q.answer);
    exact.scores.push_back(said == wanted ? 1 : 0);
    contains.scores.push_back(said.find(wanted) != std::string::npos ? 1 : 0);
    if (progress) progress(exact.scores.size());
  }
  return {task.name, {exact, contains}};
}

}  // namespace

TaskResult run_task(Pipeline& pipeline, const Task& task, const TaskOptions& options,
                    const std::function<void(size_t)>& progress) {
  return task.questions.front().choices.empty() ? run_generation(pipeline, task, options, progress)
                                                : run_choices(pipeline, task, progress);
}

}  // namespace turgo
