// The API's description, OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1): made from the table of routes
// and, for bodies, by running the very functions that read them (Call::schema). What answers look like is in
// components.cpp.
#pragma once

#include <string>

#include "core/json.h"
#include "serve/routes.h"

namespace turgo {

class ModelRouter;

struct DescriptionConfig {
  std::string prefix;  // in front of every route
  bool has_keys = false;
};

Json describe_api(const RouteTable& routes, const DescriptionConfig& config);

Json response_components();      // name -> schema of an answer's JSON
const std::string& docs_page();  // HTML that shows openapi.json; refers to nothing elsewhere

void add_description_routes(ModelRouter& router);  // GET /openapi.json, /docs

}  // namespace turgo
