#include "serve/proxy/answer_check.h"

#include "serve/api_error.h"
#include "serve/generation.h"

namespace turgo {

std::optional<std::string> find_json_text(std::string_view json, std::string_view name) {
  std::string wanted = fmt::format("\"{}\"", name);
  for (size_t at = json.find(wanted); at != std::string_view::npos; at = json.find(wanted, at + 1)) {
    if (at > 0 && json[at - 1] == '\\') continue;
    std::string_view rest = json.substr(at + wanted.size());
    auto skip_spaces = [&] { rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r\n"), rest.size())); };
    skip_spaces();
    if (!rest.starts_with(':')) continue;
    rest.remove_prefix(1);
    skip_spaces();
    if (!rest.starts_with('"')) continue;
    std::string value;
    for (size_t i = 1; i < rest.size() && rest[i] != '"'; ++i) {
      if (rest[i] == '\\' && i + 1 < rest.size()) ++i;  // names hold \/ and \" at most
      value += rest[i];
    }
    return value;
  }
  return std::nullopt;
}

bool is_model(std::string_view got, std::string_view asked) {
  auto bare = [](std::string_view name) {
    return name.ends_with(":latest") ? name.substr(0, name.size() - 7) : name;
  };
  return asked.empty() || bare(got) == bare(asked);
}

std::string StreamGuard::pass(std::string_view bytes) {
  held_ += bytes;
  size_t end = std::string::npos;
  if (form_ == StreamForm::kLines) {
    if (size_t at = held_.rfind('\n'); at != std::string::npos) end = at + 1;
  } else {
    for (std::string_view blank : {"\n\n", "\r\n\r\n"})
      if (size_t at = held_.rfind(blank); at != std::string::npos)
        end = end == std::string::npos ? at + blank.size() : std::max(end, at + blank.size());
  }
  if (end != std::string::npos) {
    std::string out = held_.substr(0, end);
    held_.erase(0, end);
    is_inside_ = false;
    return out;
  }
  if (held_.size() <= kMaxHeld) return "";
  is_inside_ = true;
  return std::exchange(held_, {});
}

std::string StreamGuard::rest() {
  return std::exchange(held_, {});
}

std::string StreamGuard::broken(const std::string& path, const std::string& why) {
  held_.clear();
  ApiError error(502, why, "", "upstream_broken");
  std::string begin = !is_inside_ ? "" : form_ == StreamForm::kLines ? "\n" : "\n\n";
  if (form_ == StreamForm::kLines) {
    // Ollama's lines and LMDeploy's.
    return begin + dump_json({{"error", why}, {"done", true}, {"finish_reason", "error"}}) + "\n";
  }
  if (path.starts_with("/v1/messages"))  // Anthropic's
    return begin + "event: error\ndata: " +
           dump_json({{"type", "error"}, {"error", {{"type", "api_error"}, {"message", why}}}}) + "\n\n";
  if (path.starts_with("/v1/responses"))
    return begin + "event: error\ndata: " +
           dump_json({{"type", "error"}, {"code", "upstream_broken"}, {"message", why}, {"param", nullptr}}) +
           "\n\n";
  return begin + "data: " + error_json(error) + "\n\n";
}

}  // namespace turgo
