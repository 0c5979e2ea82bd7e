#include "apps/host_info.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/error.h"
#include "core/thread_team.h"

namespace turgo {
namespace {

namespace fs = std::filesystem;

// "key : value" of the first line that begins with `key`.
std::string field(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

int64_t memory_field(const char* key) {  // /proc/meminfo counts in KiB
  return std::strtoll(field("/proc/meminfo", key).c_str(), nullptr, 10) * 1024;
}

std::vector<std::string> kernel_flags() {
  static constexpr const char* kFlags[] = {
      "avx2",        "fma",         "f16c",     "avx_vnni", "avx512f",  "avx512bw",
      "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16", "asimd",
  };
  std::string all = field("/proc/cpuinfo", "flags");
  if (all.empty()) all = field("/proc/cpuinfo", "Features");  // Arm
  std::istringstream words(all);
  std::vector<std::string> found;
  for (std::string word; words >> word;)
    if (std::find(std::begin(kFlags), std::end(kFlags), word) != std::end(kFlags)) found.push_back(word);
  return found;
}

void read_nvidia(HostInfo& info) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc/driver/nvidia/gpus", ignored))
    info.gpus.push_back(field(entry.path() / "information", "Model"));
  std::ifstream version("/proc/driver/nvidia/version");  // "NVRM version: NVIDIA UNIX … 550.54.15  Release …"
  for (std::string word; info.gpu_driver.empty() && version >> word;)
    if (std::isdigit(static_cast<unsigned char>(word[0])) && word.find('.') != std::string::npos)
      info.gpu_driver = word;
}

}  // namespace

HostInfo read_host_info() {
  HostInfo info;
  utsname names{};
  if (::uname(&names) == 0) info.os = fmt::format("{} {} {}", names.sysname, names.release, names.machine);
  info.cpu = field("/proc/cpuinfo", "model name");
  info.logical_cpus = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  info.usable_cores = usable_cores();
  info.memory_bytes = memory_field("MemTotal");
  info.memory_available_bytes = memory_field("MemAvailable");
  info.cpu_flags = kernel_flags();
  read_nvidia(info);
  return info;
}

std::string cache_folder() {
  auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (auto own = variable("TURGO_CACHE"); !own.empty()) return own;
  if (auto xdg = variable("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/turgo";
  return variable("HOME") + "/.cache/turgo";
}

// Not getrusage: its maximum survives exec, so a small program started by a large one would report its
// parent's.
int64_t peak_resident_bytes() {
  return std::strtoll(field("/proc/self/status", "VmHWM").c_str(), nullptr, 10) * 1024;
}

}  // namespace turgo
