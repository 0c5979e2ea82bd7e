// `turgo eval tasks`: questions with known answers, one model or several side by side.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/json_output.h"
#include "apps/output.h"
#include "core/error.h"
#include "core/log.h"
#include "eval/task.h"
#include "io/atomic_file.h"

namespace turgo {
namespace {

struct EvalTasks {
  std::string model;
  std::vector<std::string> tasks, also;
  std::string svg;
  int64_t limit = 0;
  TaskOptions options;
  bool json = false;
  PipelineConfig pipeline;
};

void fill(EvalTasks& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file").positional();
  list.add("task", &o.tasks, "JSONL of questions; may be given several times").label("FILE").required();
  list.add("also", &o.also, "another model, compared with MODEL question by question; several times")
      .label("MODEL");
  list.add("limit", &o.limit, "only the first N questions of a file")
      .range(0)
      .label("N")
      .shown_default("all");
  list.add("until", &o.options.until, "strings that end a generated answer").label("TEXT");
  list.add("max_new_tokens", &o.options.max_new_tokens, "of a generated answer").range(1, 1 << 20).label("N");
  list.add("svg", &o.svg, "draw the results as bars into this file").label("FILE");
  list.add("json", &o.json, "print JSON instead of a Markdown table");
  list_options(o.pipeline, list, false);
}

struct ModelResults {
  std::string model;
  std::vector<TaskResult> tasks;
};

std::string markdown(const std::vector<ModelResults>& all) {
  std::string text = "| model | task | n | metric | value | stderr | to the first | stderr |\n";
  text += "|---|---|---|---|---|---|---|---|\n";
  for (const ModelResults& m : all)
    for (size_t t = 0; t < m.tasks.size(); ++t)
      for (size_t i = 0; i < m.tasks[t].metrics.size(); ++i) {
        const Metric& metric = m.tasks[t].metrics[i];
        text += fmt::format("| {} | {} | {} | {} | {:.4f} | {:.4f} |", m.model, m.tasks[t].task,
                            metric.scores.size(), metric.name, metric.mean(), metric.standard_error());
        if (&m == &all.front()) {
          text += " | |\n";
          continue;
        }
        const PairedDifference d = paired_difference(metric, all.front().tasks[t].metrics[i]);
        text += fmt::format(" {:+.4f} | {:.4f} |\n", d.mean, d.standard_error);
      }
  return text;
}

Json json_of(const std::vector<ModelResults>& all) {
  Json models = Json::array();
  for (const ModelResults& m : all) {
    Json tasks = Json::array();
    for (size_t t = 0; t < m.tasks.size(); ++t) {
      Json metrics = Json::object();
      for (size_t i = 0; i < m.tasks[t].metrics.size(); ++i) {
        const Metric& metric = m.tasks[t].metrics[i];
        Json one = {{"value", metric.mean()}, {"stderr", metric.standard_error()}, {"scores", metric.scores}};
        if (&m != &all.front()) {
          const PairedDifference d = paired_difference(metric, all.front().tasks[t].metrics[i]);
          one["difference"] = d.mean;
          one["difference_stderr"] = d.standard_error;
        }
        metrics[metric.name] = std::move(one);
      }
      tasks.push_back({{"task", m.tasks[t].task}, {"metrics", std::move(metrics)}});
    }
    models.push_back({{"model", m.model}, {"tasks", std::move(tasks)}});
  }
  return models;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '<' || c == '>' || c == '&' || c == '"') {
      out += fmt::format("&#{};", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out;
}

// A row of bars per task and metric, one bar a model, with a whisker of one standard error each way.
std::string svg(const std::vector<ModelResults>& all) {
  constexpr const char* kColors[] = {"#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377"};
  constexpr int kBar = 18, kLabel = 220, kWidth = 400, kGap = 14;
  std::string bars;
  int y = 10;
  for (size_t t = 0; t < all.front().tasks.size(); ++t)
    for (size_t i = 0; i < all.front().tasks[t].metrics.size(); ++i, y += kGap) {
      bars += fmt::format("<text x=\"4\" y=\"{}\">{} · {}</text>\n", y + 13,
                          escaped(all.front().tasks[t].task), all.front().tasks[t].metrics[i].name);
      for (size_t m = 0; m < all.size(); ++m, y += kBar) {
        const Metric& metric = all[m].tasks[t].metrics[i];
        const double x = kLabel + kWidth * metric.mean(), e = kWidth * metric.standard_error();
        bars += fmt::format(
            "<rect x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\" fill=\"{}\"><title>{}: "
            "{:.4f}</title></rect>\n"
            "<path d=\"M{:.1f} {}H{:.1f}\" stroke=\"#222\"/><text x=\"{:.1f}\" y=\"{}\">{:.3f}</text>\n",
            kLabel, y, kWidth * metric.mean(), kBar - 3, kColors[m % std::size(kColors)],
            escaped(all[m].model), metric.mean(), x - e, y + 7, x + e, x + e + 5, y + 12, metric.mean());
      }
    }
  for (size_t m = 0; m < all.size(); ++m, y += kBar)
    bars += fmt::format(
        "<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"{}\">{}</text>\n",
        kLabel, y, kColors[m % std::size(kColors)], kLabel + 18, y + 11, escaped(all[m].model));
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"#fff\"/>\n{2}</svg>\n",
      kLabel + kWidth + 60, y + 8, bars);
}

int run(const EvalTasks& o) {
  std::vector<Task> tasks;
  for (const std::string& path : o.tasks) tasks.push_back(read_task(path, o.limit));
  std::vector<std::string> models = {o.model};
  models.insert(models.end(), o.also.begin(), o.also.end());
  std::vector<ModelResults> all;
  for (const std::string& path : models) {
    auto pipeline = Pipeline::open(path, o.pipeline);
    ModelResults results{path, {}};
    for (const Task& task : tasks)
      results.tasks.push_back(run_task(*pipeline, task, o.options, [&](size_t n) {
        if (n % 50 == 0) log_info("{}: {} of {} questions", task.name, n, task.questions.size());
      }));
    all.push_back(std::move(results));
  }
  if (!o.svg.empty()) {
    AtomicFile file(o.svg);
    file.write(svg(all));
    file.commit();
  }
  if (o.json) {
    write_json(json_of(all));
  } else {
    write_stdout(markdown(all));
  }
  return 0;
}

}  // namespace

Command eval_tasks_command() {
  return make_command(
      "eval tasks", "Score questions with known answers", fill, run,
      "A line is {\"query\": TEXT, \"choices\": [TEXT …], \"gold\": N}: acc takes the choice whose log "
      "likelihood "
      "behind the text and a space is largest, acc_norm divides it by the choice's characters, both as "
      "lm-evaluation-harness does. Without choices, {\"query\": TEXT, \"answer\": TEXT} is generated "
      "greedily. Other "
      "models are compared question by question: the last columns are the paired difference and its standard "
      "error.");
}

}  // namespace turgo
