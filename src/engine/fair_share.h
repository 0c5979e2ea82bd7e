// Turns between users of one priority: start-time fair queueing (Goyal, Vin, Cheng 1996). A request gets a
// tag when it arrives: the later of the virtual time and the end of what its owner asked for before. Requests
// are served in order of tags, so one owner's hundred requests do not stand before another's first; with a
// single owner it is the order of arrival. Tags are fixed, so the order is total and never changes.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

namespace turgo {

class FairShare {
 public:
  // `cost`: tokens that the request may compute, > 0. end() follows for each.
  int64_t begin(const std::string& owner, int64_t cost);
  // The request with this tag is being served: those that arrive from now on come after it.
  void serve(int64_t tag) { virtual_time_ = tag > virtual_time_ ? tag : virtual_time_; }
  void end(const std::string& owner);

  size_t num_owners() const { return owners_.size(); }

 private:
  struct Owner {
    int64_t next = 0;  // tag of its next request, if not behind the virtual time
    int64_t num_live = 0;
  };
  std::unordered_map<std::string, Owner> owners_;
  int64_t virtual_time_ = 0;
};

}  // namespace turgo
