#include "compress/work_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json.h"
#include "core/mapped_file.h"
#include "io/safetensors_parse.h"
#include "io/safetensors_writer.h"

namespace turgo {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_path(const char* what, const fs::path& path, const std::error_code& e) {
  const bool full = e == std::errc::no_space_on_device;
  fail(full ? ErrorCode::kResourceExhausted : ErrorCode::kIo, "cannot {} {}: {}{}", what,
       quote(path.string(), 200), e.message(), full ? "; free some space and try again" : "");
}

void remove_tree(const fs::path& path) {
  std::error_code e;
  fs::remove_all(path, e);
  if (e) fail_path("remove", path, e);
}

void rename(const fs::path& from, const fs::path& to) {
  std::error_code e;
  fs::rename(from, to, e);
  if (e) fail_path("rename to", to, e);
}

// Block types have no safetensors name: their bytes are kept as u8 rows.
Shape stored_shape(const OutputTensor& t) {
  if (!is_quantized(t.dtype)) return t.shape;
  return Shape{t.shape[0], row_bytes(t.dtype, t.shape[1])};
}

// True if `inner` is `outer` or lies in it, links followed.
bool inside(const fs::path& inner, const fs::path& outer) {
  std::error_code ignored;
  fs::path a = fs::weakly_canonical(inner, ignored), b = fs::weakly_canonical(outer, ignored);
  for (fs::path p = a;; p = p.parent_path()) {
    if (p == b) return true;
    if (!p.has_relative_path()) return false;
  }
}

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

void check_target(const std::string& target, const std::string& source, bool force) {
  const std::string path = without_slashes(target);
  if (inside(source, path) || inside(path, source))
    fail(ErrorCode::kInvalidArgument,
         "--work-dir {}: is the source itself or overlaps it; expected another place", quote(path, 200));
  std::error_code e;
  if (fs::exists(path, e) && !force)
    fail(ErrorCode::kInvalidArgument,
         "--work-dir {}: exists already; give another one, or --force to replace it", quote(path, 200));
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty() && !fs::is_directory(parent, e))
    fail(ErrorCode::kNotFound, "--work-dir {}: expected its parent to be a folder, there is none",
         quote(path, 200));
}

WorkFolder::WorkFolder(std::string target, const std::string& source, bool force, Json identity)
    : target_(without_slashes(std::move(target))), force_(force), identity_(std::move(identity)) {
  check_target(target_, source, force_);
  folder_ = target_ + ".partial";
  std::error_code e;
  fs::create_directories(folder_, e);
  if (e) fail_path("create", folder_, e);
  lock();
  const std::string progress = folder_ + "/progress.json";
  if (fs::exists(progress, e)) {
    Json saved = parse_json_file(progress, size_t{64} << 20);
    if (saved.is_object() && saved.value("identity", Json()) == identity_ && saved.contains("layers"))
      for (const Json& report : saved["layers"]) reports_.push_back(report);
  }
  if (!reports_.empty()) return;
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(folder_, e)) left.push_back(entry.path());
  for (const fs::path& path : left) remove_tree(path);
}

WorkFolder::~WorkFolder() {
  if (lock_ >= 0) close(lock_);
}

// On the folder itself: the system lets it go when the process ends, however that happens.
void WorkFolder::lock() {
  lock_ = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ >= 0 && flock(lock_, LOCK_EX | LOCK_NB) == 0) return;
  const std::error_code e(errno, std::generic_category());
  if (e != std::errc::operation_would_block) fail_path("lock", folder_, e);
  fail(ErrorCode::kInvalidArgument,
       "--work-dir {}: another run is at work there ({}); wait for it or give another place",
       quote(target_, 200), quote(folder_, 200));
}

std::string WorkFolder::layer_path(int layer) const {
  return fmt::format("{}/layer-{:05}.safetensors", folder_, layer);
}

bool WorkFolder::load_states(HiddenStates& states) const {
  const std::string path = fmt::format("{}/states-{:05}.f32", folder_, num_done());
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return false;
  auto file = MappedFile::open(path);
  if (file->bytes().size() != states.rows.size() * sizeof(float)) return false;
  std::memcpy(states.rows.data(), file->bytes().data(), file->bytes().size());
  return true;
}

void WorkFolder::save_progress() const {
  AtomicFile file(folder_ + "/progress.json");
  file.write(Json{{"identity", identity_}, {"layers", reports_}}.dump());
  file.commit();
}

void WorkFolder::save_layer(std::span<const OutputTensor> tensors, Json report, const HiddenStates* states) {
  const int layer = num_done();
  SafetensorsWriter writer(layer_path(layer));
  for (const OutputTensor& t : tensors)
    writer.declare(t.name, is_quantized(t.dtype) ? DType::kU8 : t.dtype, stored_shape(t));
  for (const OutputTensor& t : tensors) writer.write_tensor(t.bytes);
  writer.finish();
  if (states) {
    AtomicFile file(fmt::format("{}/states-{:05}.f32", folder_, layer + 1));
    file.write(std::as_bytes(std::span(states->rows)));
    file.commit();
  }
  reports_.push_back(std::move(report));
  save_progress();
  std::error_code ignored;  // a file that stays is removed with the folder
  fs::remove(fmt::format("{}/states-{:05}.f32", folder_, layer), ignored);
}

void WorkFolder::for_each_tensor(int layer, const std::function<void(const RawTensor&)>& f) const {
  auto file = MappedFile::open(layer_path(layer));
  for (const SafetensorsInfo& info : parse_safetensors(file->bytes(), quote(file->path(), 200)).tensors)
    f({info.name, info.dtype, info.shape, file->bytes().subspan(info.begin, info.size_bytes), file});
}

void WorkFolder::finish(const std::function<void(const std::string& path)>& write) {
  const std::string made = folder_ + "/result";
  remove_tree(made);
  write(made);
  std::error_code e;
  if (fs::exists(target_, e)) {
    const std::string old = folder_ + "/replaced";
    remove_tree(old);
    rename(target_, old);
  }
  rename(made, target_);
  remove_tree(folder_);
}

}  // namespace turgo
