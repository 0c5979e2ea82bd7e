// Questions with known answers from local JSONL, scored as lm-evaluation-harness scores them.
//   choice     {"query" | "question" | "context" | "prompt": TEXT, "choices" | "options" | "endings": [TEXT
//   …],
//               "gold" | "answer" | "label": index, letter, or the choice itself}
//              log likelihood of " CHOICE" after TEXT; acc takes the likeliest, acc_norm the likeliest per
//              character of the choice
//   generate   the same TEXT, "answer" | "target": TEXT; greedy until a stop string; exact_match after
//              trimming white space, contains where the answer is somewhere in what was said
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pipeline/pipeline.h"

namespace turgo {

struct Question {
  std::string text;
  std::vector<std::string> choices;  // empty: generate
  int32_t gold = -1;
  std::string answer;
};

struct Task {
  std::string name;  // the file's, without folder and ".jsonl"
  std::vector<Question> questions;
};

// Throws Error{kNotFound, kIo, kInvalidArgument} that names the line. max_questions > 0 takes the first ones.
Task read_task(const std::string& path, int64_t max_questions = 0);

struct Metric {
  std::string name;            // "acc", "acc_norm", "exact_match", "contains"
  std::vector<double> scores;  // per question
  double mean() const;
  double standard_error() const;  // of the mean; 0 for one question
};

struct TaskResult {
  std::string task;
  std::vector<Metric> metrics;
};

struct TaskOptions {
  int32_t max_new_tokens = 64;
  std::vector<std::string> until = {"\n\n"};
};

// `progress` is told how many questions are answered.
TaskResult run_task(Pipeline& pipeline, const Task& task, const TaskOptions& options,
                    const std::function<void(size_t)>& progress = {});

// A metric's difference to a baseline's on the same questions.
struct PairedDifference {
  double mean = 0, standard_error = 0;
};
PairedDifference paired_difference(const Metric& metric, const Metric& baseline);

// log p of `continuation` after `context`, split where the tokens of both together split (as lm-eval does).
double continuation_log_likelihood(Pipeline& pipeline, const std::string& context,
                                   const std::string& continuation);

}  // namespace turgo
