// `turgo check_env`: what a bug report needs, as text or JSON.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/host_info.h"
#include "apps/output.h"
#include "core/error.h"
#include "kernels/cpu/kernel_table.h"

namespace turgo {
namespace {

struct CheckEnv {
  bool json = false;
  std::string dump_file;
};

void fill(CheckEnv& o, OptionList& list) {
  list.add("json", &o.json, "print JSON");
  list.add("dump_file", &o.dump_file, "write the JSON to FILE instead of stdout").label("FILE");
}

Json report() {
  HostInfo host = read_host_info();
  Json out;
  out["turgo"] = TURGO_VERSION;
  out["compiler"] = __VERSION__;
  out["os"] = host.os;
  out["cpu"] = host.cpu;
  out["cpu_flags"] = host.cpu_flags;
  out["kernels_usable"] = Json::array();
  for (const KernelTable* const* table = usable_kernel_tables(); *table; ++table)
    out["kernels_usable"].push_back((*table)->isa);
  const KernelTable* chosen = select_kernels(std::getenv("TURGO_ISA"));
  out["kernels_chosen"] = chosen ? chosen->isa : "none: TURGO_ISA names kernels that this CPU can not run";
  if (const char* warning = kernel_warning()) out["kernels_warning"] = warning;
  out["logical_cpus"] = host.logical_cpus;
  out["usable_cores"] = host.usable_cores;
  out["memory_gb"] = std::round(static_cast<double>(host.memory_bytes) / 1e8) / 10;
  out["memory_available_gb"] = std::round(static_cast<double>(host.memory_available_bytes) / 1e8) / 10;
  out["gpus"] = host.gpus;
  out["gpu_driver"] = host.gpu_driver;
  out["cache_folder"] = cache_folder();
  return out;
}

std::string as_text(const Json& report) {
  std::string text;
  for (const auto& [key, value] : report.items()) {
    std::string shown;
    if (value.is_array())
      for (const Json& item : value) shown.append(shown.empty() ? "" : " ").append(item.get<std::string>());
    else
      shown = value.is_string() ? value.get<std::string>() : value.dump();
    text += fmt::format("{:<20} {}\n", key, shown.empty() ? "none" : shown);
  }
  return text;
}

int run(const CheckEnv& o) {
  Json json = report();
  if (o.dump_file.empty()) {
    write_stdout(o.json ? json.dump(2) + "\n" : as_text(json));
    return 0;
  }
  std::ofstream file(o.dump_file);
  file << json.dump(2) << '\n';
  file.close();
  if (!file) fail(ErrorCode::kIo, "can not write {}", quote(o.dump_file, 200));
  return 0;
}

}  // namespace

Command check_env_command() {
  return make_command("check_env", "Show the machine, the kernels chosen for it and the versions", fill, run);
}

}  // namespace turgo
