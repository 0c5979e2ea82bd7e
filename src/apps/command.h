// One command of the program: its name, its options (core/options.h) and what it does. Each lives in a file
// of its own; commands.cpp lists them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/options.h"

namespace turgo {

struct Command {
  std::string name;     // "chat", "eval ppl"
  std::string summary;  // one line for the list of commands
  std::string details;  // printed after the options in the command's own help
  OptionList options;
  std::function<int()> run;        // exit code; the caller's mistakes are thrown as Error
  bool reads_environment = false;  // --session-len also as TURGO_SESSION_LEN, and all of them from --config
  std::shared_ptr<void> state;     // owns what `options` points into
};

// A command whose settings are the struct `State`: `fill` lists its options, `run` does the work.
template <class State>
Command make_command(std::string name, std::string summary, void (*fill)(State&, OptionList&),
                     int (*run)(const State&), std::string details = "") {
  auto state = std::make_shared<State>();
  Command command{std::move(name), std::move(summary), std::move(details), {}, nullptr, false, state};
  fill(*state, command.options);
  command.run = [state = state.get(), run] { return run(*state); };
  return command;
}

std::vector<Command> all_commands();

}  // namespace turgo
