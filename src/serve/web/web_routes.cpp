// GET / and /assets/…: the built-in page. It needs no key: it holds nothing, and asks its user for the one
// that the API wants.
#include "serve/web/web_routes.h"

#include <string_view>

#include "serve/api_error.h"
#include "serve/web/web_files.h"

namespace turgo {
namespace {

// Scripts and styles come from here alone and never from text; nothing is fetched from or shown by others.
constexpr const char* kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src "
    "'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

// Whether a list as "gzip, deflate;q=0.5, *" has gzip in it and not with q=0.
bool takes_gzip(std::string_view list) {
  size_t at = list.find("gzip");
  if (at == std::string_view::npos) return false;
  std::string_view rest = list.substr(at + 4, list.find(',', at) - at - 4);
  return rest.find("q=0") == std::string_view::npos ||
         rest.find_first_of("123456789") != std::string_view::npos;
}

// If-None-Match is a list of tags, each perhaps weak, or "*".
bool matches(std::string_view list, std::string_view etag) {
  return list == "*" || list.find(etag) != std::string_view::npos;
}

HttpResponse response_with(const WebFile& file, const HttpRequest& request) {
  HttpResponse response{{200, std::string(file.content_type), {}}, ""};
  HttpFields& fields = response.head.fields;
  fields = {{"ETag", std::string(file.etag)},
            {"Cache-Control", "no-cache"},  // kept, but asked for each time: a 304 takes no time here
            {"Vary", "Accept-Encoding"},
            {"X-Content-Type-Options", "nosniff"},
            {"Cross-Origin-Resource-Policy", "same-origin"},
            {"Content-Security-Policy", kContentSecurityPolicy}};
  if (file.content_type.starts_with("text/html")) {
    fields.emplace_back("Referrer-Policy", "no-referrer");
    fields.emplace_back("Cross-Origin-Opener-Policy", "same-origin");
    fields.emplace_back("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()");
  }
  if (matches(request.field("if-none-match"), file.etag)) {
    response.head.status = 304;
  } else if (takes_gzip(request.field("accept-encoding"))) {
    fields.emplace_back("Content-Encoding", "gzip");
    response.body = file.packed;
  } else {
    response.body = file.plain;
  }
  return response;
}

std::unique_ptr<Responder> web_file(const std::string& name, const HttpRequest& request) {
  for (const WebFile& file : web_files())
    if (file.name == name) return respond_with(response_with(file, request));
  throw ApiError(404, fmt::format("the page has no file {}", quote(name)), "", "unknown_route");
}

}  // namespace

void add_web_routes(RouteTable& routes, const std::string& api_prefix) {
  routes.add("GET", "/", [](const Call& call) { return web_file("index.html", call.request); },
             {true, true, "The web page", "text/html"});
  routes.add("GET", "/assets/{name*}",
             [](const Call& call) { return web_file(call.params[0], call.request); },
             {true, true, "The web page's scripts and styles", "*/*"});
  if (api_prefix.empty()) return;
  // The page's addresses are relative: they need the slash behind the prefix.
  routes.add("GET", "",
             [to = api_prefix + "/"](const Call&) {
               return respond_with({{308, "text/plain", {{"Location", to}}}, ""});
             },
             {true, true, "To the web page"});
}

}  // namespace turgo
