// Which function answers which request. Each family of routes (openai/, lmdeploy/ …) enters its own in a
// function add_X_routes(ApiServer&), all of them listed at the end of this file and called in one place,
// api_server.cpp. A path may hold "{name}" for one segment and, at its end, "{name*}" for all the rest.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "serve/http/http_server.h"

namespace turgo {

class ApiServer;
class FieldSchema;

struct Call {
  const HttpRequest& request;
  std::string owner;                     // of sessions and of what the prefix cache keeps: the caller's key
  std::vector<std::string> params = {};  // what stood in the path's {name}s
  // Set while the API's description is made: the body is {}, and Fields (which gets this pointer) notes what
  // it is asked for and throws SchemaRecorded at finish(). So a route for POST reads its body with Fields
  // before it does anything else, also where the body may be empty.
  FieldSchema* schema = nullptr;
};

using Route = std::function<std::unique_ptr<Responder>(const Call&)>;

struct RouteInfo {
  bool is_open = false;   // needs no key
  bool is_cheap = false;  // HttpHandler::Admission::is_cheap
  std::string summary = {};
  // For the API's description: the component that describes the answer's JSON ("": any), and the media type
  // of an answer in pieces, "" if there is none.
  const char* answer = "";
  const char* stream = "";
  std::vector<const char*> query = {};  // names of what may stand behind '?'
};

class RouteTable {
 public:
  struct Entry {
    std::string method, path;
    Route route;
    RouteInfo info;
  };
  struct Match {
    const std::vector<Entry>* entries = nullptr;  // of that path, one per method; nullptr: none
    std::vector<std::string> params;
    const Entry* find(const std::string& method) const;  // HEAD counts as GET
    std::string allowed() const;                         // the path's methods, as the field Allow lists them
  };

  void add(const std::string& method, const std::string& path, Route route, RouteInfo info = {});
  Match match(const std::string& path) const;
  const std::map<std::string, std::vector<Entry>>& all() const { return by_path_; }

 private:
  std::map<std::string, std::vector<Entry>> by_path_;
  std::vector<std::string> patterns_;  // paths with {…}
};

void add_health_routes(ApiServer& server);
void add_openai_routes(ApiServer& server);
void add_lmdeploy_routes(ApiServer& server);
void add_utility_routes(ApiServer& server);

}  // namespace turgo
