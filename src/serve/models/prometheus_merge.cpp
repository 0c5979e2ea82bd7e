#include "serve/models/prometheus_merge.h"

#include <map>
#include <string_view>

namespace turgo {

std::string merge_prometheus(const std::vector<std::string>& texts) {
  struct Family {
    std::string head, samples;
  };
  std::vector<std::string> order;
  std::map<std::string, Family> families;
  for (std::string_view rest : texts) {
    std::string family;
    bool is_new = false;
    while (!rest.empty()) {
      size_t end = std::min(rest.find('\n'), rest.size() - 1);
      std::string_view line = rest.substr(0, end + 1);
      rest.remove_prefix(end + 1);
      bool is_comment = line.starts_with("# ");
      if (line.starts_with("# HELP ")) {
        std::string_view name = line.substr(7);
        family = name.substr(0, name.find(' '));
        is_new = !families.contains(family);
        if (is_new) order.push_back(family);
      }
      if (is_comment && is_new)
        families[family].head += line;
      else if (!is_comment)
        families[family].samples += line;
    }
  }
  std::string out;
  for (const std::string& name : order) out += families[name].head + families[name].samples;
  return out;
}

}  // namespace turgo
