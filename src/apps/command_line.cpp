#include "apps/command_line.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "apps/output.h"
#include "core/error.h"
#include "core/json.h"

namespace turgo {
namespace {

// Commands of the plan that have no code yet: they answer in one line and are not in the help.
const std::vector<std::string> kNotBuilt = {
    "serve triton_client", "lite distill", "lite finetune", "convert", "pull",
};

std::string first_word(const std::string& name) {
  return name.substr(0, name.find(' '));
}

void print_commands(const std::vector<Command>& commands, const std::string& group) {
  std::string text = group.empty() ? "Turgo " TURGO_VERSION
                                     ": compress, run and serve language models\n\n"
                                     "Usage: turgo COMMAND [OPTIONS]\n\nCommands:\n"
                                   : fmt::format("Usage: turgo {} COMMAND [OPTIONS]\n\nCommands:\n", group);
  for (const Command& command : commands)
    if (group.empty() || first_word(command.name) == group)
      text += fmt::format("  {:<14} {}\n", command.name, command.summary);
  text += group.empty()
              ? "\n`turgo COMMAND --help` lists a command's options; `turgo --version` prints the version.\n"
              : "";
  write_stdout(text);
}

// The command whose words open the line; `used` = how many words it took.
const Command* find_command(const std::vector<Command>& commands, const std::vector<std::string>& words,
                            size_t& used) {
  std::string two = words.size() > 1 ? words[0] + " " + words[1] : words[0];
  for (const Command& command : commands) {
    used = command.name.find(' ') == std::string::npos ? 1 : 2;
    if (command.name == (used == 1 ? words[0] : two)) return &command;  // `bench sim` stands before `bench`
  }
  return nullptr;
}

[[noreturn]] void unknown_command(const std::vector<Command>& commands,
                                  const std::vector<std::string>& words) {
  std::string two = words.size() > 1 ? words[0] + " " + words[1] : words[0];
  for (const std::string& name : kNotBuilt)
    if (name == words[0] || name == two) fail(ErrorCode::kUnsupported, "{} is not built yet", name);

  bool is_group = std::any_of(commands.begin(), commands.end(), [&](const Command& command) {
    return command.name.starts_with(words[0] + " ");
  });
  std::string tried = is_group ? two : words[0];
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(is_group ? command.name : first_word(command.name));
  std::string close = closest_name(tried, names);
  fail(ErrorCode::kInvalidArgument, "unknown command {}{} (`turgo --help` lists them)", quote(tried),
       close.empty() ? "" : "; did you mean '" + close + "'?");
}

std::string help_text(const Option& option) {
  std::string text = option.help;
  if (!option.choices_list.empty()) {
    text += " {";
    for (const std::string& choice : option.choices_list) text += (text.back() == '{' ? "" : ",") + choice;
    text += "}";
  }
  std::string standard = option.default_text();
  return standard.empty() ? text : text + " (default: " + standard + ")";
}

struct Given {
  const Option* option;
  std::vector<std::string> values;
};

// `lists_take_many`: --api-keys A B, as argparse's nargs="*" takes it; of servers.
void add_option(CLI::App& app, const Option& option, bool lists_take_many, std::vector<Given>& given) {
  CLI::callback_t collect = [&given, &option](const CLI::results_t& values) {
    given.push_back({&option, values});
    return true;
  };
  std::string name = option.is_positional ? option.name : option.flag();
  if (option.is_bool()) {
    app.add_flag_function(
        name, [collect](int64_t n) { collect({n > 0 ? "true" : "false"}); }, help_text(option));
    return;
  }
  CLI::Option* added = app.add_option(name, collect, help_text(option));
  bool takes_many = option.is_list() && (option.is_positional || lists_take_many);
  added->expected(takes_many ? -1 : 1)->allow_extra_args(takes_many);
  added->multi_option_policy(option.is_list() ? CLI::MultiOptionPolicy::TakeAll
                                              : CLI::MultiOptionPolicy::TakeLast);
  if (option.is_positional) added->option_text("");
  if (!option.is_positional) added->option_text(option.value_label.empty() ? "X" : option.value_label);
}

[[noreturn]] void unexpected_word(const Command& command, const std::string& word) {
  if (!word.starts_with("-"))
    fail(ErrorCode::kInvalidArgument, "unexpected argument {}; quote a text that has spaces", quote(word));
  std::string flag = word.substr(0, word.find('='));
  std::vector<std::string> flags = {"--help"};
  for (const Option& option : command.options.options())
    if (!option.is_positional) flags.push_back(option.flag());
  std::string dashed = flag;
  std::replace(dashed.begin(), dashed.end(), '_', '-');
  std::string close = closest_name(dashed, flags);
  fail(ErrorCode::kInvalidArgument, "unknown flag {}{} (`turgo {} --help` lists them)", quote(flag),
       close.empty() ? "" : "; did you mean " + close + "?", command.name);
}

std::string environment_name(const Option& option) {
  std::string name = "TURGO_" + option.name;
  for (char& c : name) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return name;
}

std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

// Adds what the environment says and no flag says; then sets what the --config file says and neither does.
void take_environment(const Command& command, std::vector<Given>& given) {
  auto is_given = [&](const Option& option) {
    return std::any_of(given.begin(), given.end(), [&](const Given& one) { return one.option == &option; });
  };
  for (const Option& option : command.options.options()) {
    const char* value = option.is_positional ? nullptr : std::getenv(environment_name(option).c_str());
    if (!value || !*value || is_given(option)) continue;
    given.push_back({&option, option.is_list() ? split_commas(value) : std::vector<std::string>{value}});
  }
  for (const Given& one : given) {
    if (one.option->name != "config") continue;
    const std::string& path = one.values.back();
    command.options.set_json(parse_json_file(path, 1 << 20, 8), "--config " + quote(path, 200));
  }
}

int run_command(const Command& command, const std::vector<std::string>& words) {
  CLI::App app(command.summary, "turgo " + command.name);
  app.footer(command.details);
  app.get_formatter()->column_width(34);
  app.allow_extras();
  std::vector<Given> given;
  for (const Option& option : command.options.options())
    add_option(app, option, command.reads_environment, given);
  std::vector<std::string> reversed(words.rbegin(), words.rend());  // CLI11 takes its vector from the back
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    write_stdout(app.help());
    return 0;
  } catch (const CLI::ArgumentMismatch& error) {
    std::string flag = std::string(error.what()).substr(0, std::string(error.what()).find(':'));
    fail(ErrorCode::kInvalidArgument, "{} expects one value; see `turgo {} --help`", flag, command.name);
  } catch (const CLI::ParseError& error) {
    fail(ErrorCode::kInvalidArgument, "{}; see `turgo {} --help`", error.what(), command.name);
  }
  if (auto rest = app.remaining(); !rest.empty()) {
    auto flag =
        std::find_if(rest.begin(), rest.end(), [](const auto& word) { return word.starts_with("-"); });
    unexpected_word(command, flag != rest.end() ? *flag : rest.front());
  }
  if (command.reads_environment) take_environment(command, given);
  for (const Given& one : given) {
    if (one.option->is_list()) std::get<std::vector<std::string>*>(one.option->target)->clear();
    for (const std::string& value : one.values) one.option->set_text(value);
  }
  for (const Option& option : command.options.options())
    if (option.is_required &&
        std::none_of(given.begin(), given.end(), [&](const Given& one) { return one.option == &option; }))
      fail(ErrorCode::kInvalidArgument, "{} is missing; see `turgo {} --help`", option.flag(), command.name);
  return command.run();
}

}  // namespace

int run_command_line(const std::vector<std::string>& words) {
  std::vector<Command> commands = all_commands();
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    print_commands(commands, "");
    return 0;
  }
  if (words[0] == "--version" || words[0] == "-v") {
    write_stdout("turgo " TURGO_VERSION "\n");
    return 0;
  }
  size_t used = 0;
  if (const Command* command = find_command(commands, words, used))
    return run_command(*command, {words.begin() + static_cast<std::ptrdiff_t>(used), words.end()});
  bool is_group = std::any_of(commands.begin(), commands.end(), [&](const Command& command) {
    return command.name.starts_with(words[0] + " ");
  });
  if (is_group && (words.size() == 1 || words[1] == "--help" || words[1] == "-h")) {
    print_commands(commands, words[0]);
    return 0;
  }
  unknown_command(commands, words);
}

}  // namespace turgo
