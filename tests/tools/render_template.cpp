// Renders chat templates for the Python oracle. Each line of stdin is a JSON object {template, messages,
// tools?, add_generation_prompt?, bos_token?, eos_token?, kwargs?, now?: [year, month, day, hour, minute,
// second], builtin?, load?}; each line of stdout is {text, input: [[begin, end], …]} in bytes, or {error}.
#include <ctime>
#include <iostream>
#include <map>
#include <string>

#include "core/error.h"
#include "core/json.h"
#include "text/chat_template.h"

namespace {

using turgo::ChatTemplate;
using turgo::Json;

std::shared_ptr<const ChatTemplate> open_template(const Json& job) {
  std::string bos = job.value("bos_token", "");
  std::string eos = job.value("eos_token", "");
  if (job.contains("builtin")) return turgo::builtin_chat_template(job["builtin"], bos, eos);
  if (job.contains("load")) return turgo::load_chat_template(job["load"], bos, eos);
  return ChatTemplate::parse(job.at("template").get<std::string>(), bos, eos);
}

std::tm time_of(const Json& parts) {
  std::tm time{};
  time.tm_year = parts.at(0).get<int>() - 1900;
  time.tm_mon = parts.at(1).get<int>() - 1;
  time.tm_mday = parts.at(2).get<int>();
  time.tm_hour = parts.at(3).get<int>();
  time.tm_min = parts.at(4).get<int>();
  time.tm_sec = parts.at(5).get<int>();
  time.tm_isdst = -1;
  std::mktime(&time);  // fills the day of the week and of the year
  return time;
}

Json render(const Json& job) {
  turgo::ChatTemplateOptions options;
  if (job.contains("tools")) options.tools = &job["tools"];
  if (job.contains("kwargs")) options.kwargs = &job["kwargs"];
  options.add_generation_prompt = job.value("add_generation_prompt", true);
  if (job.contains("now")) options.now = time_of(job["now"]);
  std::shared_ptr<const ChatTemplate> chat_template = open_template(job);
  turgo::MarkedText out = chat_template->render(job.at("messages"), options);
  Json ranges = Json::array();
  for (const auto& range : out.input) ranges.push_back({range.begin, range.end});
  Json result = {{"text", out.text}, {"input", ranges}};
  if (!chat_template->stop_words().empty()) result["stop_words"] = chat_template->stop_words();
  return result;
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    Json result;
    try {
      result = render(turgo::parse_json(line, "job", 256));
    } catch (const turgo::Error& e) {
      result = {{"error", e.what()}};
    }
    std::cout << result.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
  }
}
