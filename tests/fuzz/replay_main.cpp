// Runs one fuzz target over every file of its corpus folder: `replay_X DIR`. A crash or a sanitizer report
// fails it. An empty or missing folder fails too, so that a corpus can not vanish unnoticed.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  if (argc != 2 || !std::filesystem::is_directory(argv[1])) {
    std::fprintf(stderr, "usage: replay_X CORPUS_DIR (the folder must exist)\n");
    return 2;
  }
  int num_files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[1])) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    std::vector<char> bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    ++num_files;
  }
  std::printf("%d inputs replayed\n", num_files);
  return num_files > 0 ? 0 : 1;
}
