#include "engine/fair_share.h"

#include <algorithm>

#include "core/error.h"

namespace turgo {

int64_t FairShare::begin(const std::string& owner, int64_t cost) {
  Owner& o = owners_[owner];
  ++o.num_live;
  int64_t tag = std::max(o.next, virtual_time_);
  o.next = tag + cost;
  return tag;
}

void FairShare::end(const std::string& owner) {
  auto it = owners_.find(owner);
  CHECK(it != owners_.end() && it->second.num_live > 0);
  // An owner without requests starts anew: nothing of it is kept.
  if (--it->second.num_live == 0) owners_.erase(it);
}

}  // namespace turgo
