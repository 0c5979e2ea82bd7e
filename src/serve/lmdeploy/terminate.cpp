#include "serve/lmdeploy/terminate.h"

namespace turgo {

void add_terminate_route(ModelRouter& router, std::function<void()> end) {
  auto route = [end = std::move(end)](const Call& call) {
    if (!end)
      throw ApiError(403, "clients may not end this server; --allow-terminate-by-client lets them", "",
                     "forbidden");
    // A page elsewhere needs no script to send a GET: an <img> does it, and has no Origin.
    std::string_view site = call.request.field("sec-fetch-site");
    if (!site.empty() && site != "same-origin" && site != "none")
      throw ApiError(403, "a page of another site may not end this server", "", "forbidden_origin");
    end();
    return respond_json({{"success", true}});
  };
  router.own("GET", "/terminate", route, {false, true, "End the server, where that is allowed", "Success"});
}

}  // namespace turgo
