// `turgo serve gradio`: the Python page of turgo.gradio, for a server or for a local model. This program
// becomes Python: the one that TURGO_PYTHON names, else the one beside this program (a virtual environment),
// else the path's.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "apps/command.h"
#include "core/error.h"
#include "core/json.h"
#include "pipeline/pipeline_config.h"

namespace turgo {
namespace {

struct ServeGradio {
  std::string model_or_server, server_name = "127.0.0.1", api_key, model_name;
  int32_t port = 6006;
  PipelineConfig pipeline;
};

void fill(ServeGradio& o, OptionList& list) {
  list.add("model_path_or_server", &o.model_or_server,
           "a model, or a server's address: http://localhost:23333")
      .positional();
  list.add("server_name", &o.server_name, "address to listen on; 0.0.0.0: every one of this machine")
      .label("ADDRESS");
  list.add("server_port", &o.port, "port of the page").range(1, 65535).label("PORT");
  list.add("api_key", &o.api_key, "the key that the server asks for").label("KEY");
  list.add("model_name", &o.model_name, "which of the server's models")
      .label("NAME")
      .shown_default("its first");
  list_options(o.pipeline, list);
}

// One line where the package is missing, and where gradio is.
constexpr const char* kStart = R"(import sys
try:
    from turgo.gradio import main
except ImportError as error:
    print("turgo: serve gradio needs the Python packages turgo and gradio, and "
          f"{sys.executable} has no {error.name}; pip install '.[gradio]' puts both beside a command turgo",
          file=sys.stderr)
    sys.exit(2)
main(sys.argv[1:])
)";

std::string choose_python() {
  if (const char* asked = std::getenv("TURGO_PYTHON"); asked && *asked) return asked;
  std::error_code none;
  std::filesystem::path beside =
      std::filesystem::read_symlink("/proc/self/exe", none).parent_path() / "python3";
  return std::filesystem::exists(beside, none) ? beside.string() : "python3";
}

int run(const ServeGradio& o) {
  PipelineConfig own = o.pipeline;
  OptionList options;
  list_options(own, options);
  std::vector<std::string> words = {choose_python(),
                                    "-c",
                                    kStart,
                                    o.model_or_server,
                                    "--server-name",
                                    o.server_name,
                                    "--server-port",
                                    std::to_string(o.port),
                                    "--engine-options",
                                    options.to_json().dump()};
  if (!o.model_name.empty()) words.insert(words.end(), {"--model-name", o.model_name});
  if (!o.api_key.empty())
    setenv("TURGO_API_KEY", o.api_key.c_str(), 1);  // not on a command line all can read
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  fail(ErrorCode::kNotFound,
       "serve gradio: expected a Python with the packages turgo and gradio, but {} does not start; "
       "TURGO_PYTHON names one",
       quote(words[0], 200));
}

}  // namespace

Command serve_gradio_command() {
  return make_command("serve gradio", "A web page to chat with a model or a server (needs Python)", fill,
                      run);
}

}  // namespace turgo
