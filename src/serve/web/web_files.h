// The files of the web page, as cmake/web.cmake put them into the program.
#pragma once

#include <span>
#include <string_view>

namespace turgo {

struct WebFile {
  std::string_view name;  // below web/: "index.html", "view/thread.js"
  std::string_view content_type;
  std::string_view etag;           // quoted
  std::string_view plain, packed;  // the bytes, and the same as gzip
};

std::span<const WebFile> web_files();

}  // namespace turgo
