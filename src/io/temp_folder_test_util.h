// For tests: a folder that removes itself, and a check of an Error's code and words.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "core/error.h"

namespace turgo {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "turgo_test_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  void write(const std::string& name, std::string_view bytes) const {
    std::ofstream(*this / name, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  std::string read(const std::string& name) const {
    std::ifstream in(*this / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::string path_;
};

// `words`: alternatives separated by '|'; one of them must be in the message, which must be one line.
template <class Call>
void expect_error(Call call, ErrorCode code, const std::string& words, const char* file, int line) {
  SCOPED_TRACE(std::string(file) + ":" + std::to_string(line));
  try {
    call();
  } catch (const Error& e) {
    std::string message = e.what();
    EXPECT_EQ(static_cast<int>(e.code()), static_cast<int>(code)) << message;
    bool found = false;
    for (size_t begin = 0; begin <= words.size();) {
      size_t end = std::min(words.find('|', begin), words.size());
      found |= message.find(words.substr(begin, end - begin)) != std::string::npos;
      begin = end + 1;
    }
    EXPECT_TRUE(found) << "expected '" << words << "' in: " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_LE(message.size(), 600u) << message;
    return;
  }
  ADD_FAILURE() << "expected an Error with '" << words << "'";
}

#define EXPECT_ERROR(call, code, words) \
  ::turgo::expect_error([&] { (void)(call); }, code, words, __FILE__, __LINE__)

}  // namespace turgo
