// `turgo list`: what --chat-template may name, and which architectures load.
#include "apps/command.h"
#include "apps/json_output.h"
#include "models/architecture.h"
#include "text/chat_template.h"

namespace turgo {
namespace {

struct List {
  bool json = false;
};

void fill(List& o, OptionList& list) {
  list.add("json", &o.json, "print JSON");
}

int run(const List& o) {
  Json templates = list_builtin_chat_templates(), architectures = Json::array();
  for (const Architecture& architecture : known_architectures()) architectures.push_back(architecture.name);
  if (o.json) {
    write_json({{"chat_templates", templates}, {"architectures", architectures}});
    return 0;
  }
  std::string text = "Chat templates (--chat-template NAME):\n";
  for (const Json& name : templates) text += "  " + name.get<std::string>() + "\n";
  text += "Architectures:\n";
  for (const Json& name : architectures) text += "  " + name.get<std::string>() + "\n";
  write_stdout(text);
  return 0;
}

}  // namespace

Command list_command() {
  return make_command("list", "List the built-in chat templates and the architectures", fill, run);
}

}  // namespace turgo
