#include "apps/command.h"

namespace turgo {

Command check_env_command();

std::vector<Command> all_commands() {
  std::vector<Command> commands;
  commands.push_back(check_env_command());
  return commands;
}

}  // namespace turgo
