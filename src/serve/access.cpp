#include "serve/access.h"

#include <algorithm>

#include "serve/api_error.h"

namespace turgo {
namespace {

// "http://localhost:3000" -> "localhost", "[::1]:80" -> "[::1]"
std::string host_of(std::string_view text) {
  size_t scheme = text.find("://");
  if (scheme != std::string_view::npos) text.remove_prefix(scheme + 3);
  size_t end = text.starts_with('[') ? text.find(']') + 1 : text.find(':');
  std::string host(text.substr(0, std::min(end, text.size())));
  for (char& c : host) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return host;
}

// Whether a page calls the server that it came from; the Host is one that we know by then.
bool is_same_host(std::string_view origin, std::string_view host) {
  size_t scheme = origin.find("://");
  return scheme != std::string_view::npos && origin.substr(scheme + 3) == host;
}

bool is_loopback_name(const std::string& host) {
  return host == "localhost" || host == "127.0.0.1" || host == "[::1]" || host.ends_with(".localhost");
}

// Adds CORS headers to what another responder writes.
class CorsWriter : public HttpWriter {
 public:
  CorsWriter(HttpWriter& out, std::string origin, bool with_credentials)
      : out_(out), origin_(std::move(origin)), with_credentials_(with_credentials) {}
  void respond(HttpResponse response) override {
    add(response.head);
    out_.respond(std::move(response));
  }
  void begin(HttpHead head) override {
    add(head);
    out_.begin(std::move(head));
  }
  void write(std::string_view text) override { out_.write(text); }
  void note(const AnswerNote& answer) override { out_.note(answer); }

 private:
  void add(HttpHead& head) const {
    head.fields.emplace_back("Access-Control-Allow-Origin", origin_);
    if (with_credentials_) head.fields.emplace_back("Access-Control-Allow-Credentials", "true");
    head.fields.emplace_back("Vary", "Origin");
  }
  HttpWriter& out_;
  std::string origin_;
  bool with_credentials_;
};

class CorsResponder : public Responder {
 public:
  CorsResponder(std::unique_ptr<Responder> inner, std::string origin, bool with_credentials)
      : inner_(std::move(inner)), origin_(std::move(origin)), with_credentials_(with_credentials) {}
  void start(std::function<void()> wake) override { inner_->start(std::move(wake)); }
  bool advance(HttpWriter& out) override {
    CorsWriter writer(out, origin_, with_credentials_);
    return inner_->advance(writer);
  }
  bool interrupt(HttpWriter& out, int status, const std::string& reason) override {
    CorsWriter writer(out, origin_, with_credentials_);
    return inner_->interrupt(writer, status, reason);
  }

 private:
  std::unique_ptr<Responder> inner_;
  std::string origin_;
  bool with_credentials_;
};

// What a browser may send: those that the operator named, or what it asks for where all are allowed.
std::string allowed_list(const std::vector<std::string>& named, std::string_view wanted,
                         std::string_view usual) {
  if (named.empty()) return std::string(usual);
  if (std::find(named.begin(), named.end(), "*") != named.end())
    return std::string(wanted.empty() ? usual : wanted);
  std::string list;
  for (const std::string& one : named) list += (list.empty() ? "" : ", ") + one;
  return list;
}

}  // namespace

bool Access::allows_origin(std::string_view origin) const {
  return std::any_of(config_.allow_origins.begin(), config_.allow_origins.end(),
                     [&](const std::string& one) { return one == "*" || one == origin; });
}

std::string Access::check_origin(const HttpRequest& head) const {
  if (!head.from_loopback) return "";
  std::string host = host_of(head.field("host"));
  bool known_host = host.empty() || is_loopback_name(host) ||
                    std::any_of(config_.allowed_hosts.begin(), config_.allowed_hosts.end(),
                                [&](const std::string& one) { return one == "*" || one == host; });
  if (!known_host)
    return fmt::format("the Host {} is none of this machine's loopback; --allowed-hosts allows it",
                       quote(host));
  std::string_view origin = head.field("origin");
  if (!origin.empty() && !is_same_host(origin, head.field("host")) && !is_loopback_name(host_of(origin)) &&
      !allows_origin(origin))
    return fmt::format("pages of {} may not call this server; --allow-origins allows it", quote(origin));
  return "";
}

HttpResponse Access::preflight(const HttpRequest& head) const {
  std::string_view origin = head.field("origin");
  if (origin.empty() || !allows_origin(origin))
    return error_response({403, "this server answers no other origin's pages", "", "forbidden_origin"});
  HttpResponse response{{204, "", {}}, ""};
  response.head.fields = {{"Access-Control-Allow-Origin", std::string(origin)},
                          {"Access-Control-Allow-Methods",
                           allowed_list(config_.allow_methods, head.field("access-control-request-method"),
                                        "GET, POST, DELETE, OPTIONS")},
                          {"Access-Control-Allow-Headers",
                           allowed_list(config_.allow_headers, head.field("access-control-request-headers"),
                                        "authorization, content-type, x-api-key")},
                          {"Access-Control-Max-Age", "600"},
                          {"Vary", "Origin"}};
  if (config_.allow_credentials)
    response.head.fields.emplace_back("Access-Control-Allow-Credentials", "true");
  return response;
}

std::unique_ptr<Responder> Access::open_to_origin(std::unique_ptr<Responder> responder,
                                                  const HttpRequest& request) const {
  std::string origin(request.field("origin"));
  if (origin.empty() || !allows_origin(origin)) return responder;
  return std::make_unique<CorsResponder>(std::move(responder), std::move(origin), config_.allow_credentials);
}

std::string key_of(const HttpRequest& head) {
  std::string_view value = head.field("authorization");
  if (value.size() > 7 && (value.starts_with("Bearer ") || value.starts_with("bearer ")))
    return std::string(value.substr(7));
  return std::string(head.field("x-api-key"));
}

bool equal_in_constant_time(std::string_view given, std::string_view secret) {
  if (secret.empty()) return false;
  unsigned differ = given.size() != secret.size();
  for (size_t i = 0; i < given.size(); ++i)
    differ |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(secret[i % secret.size()]);
  return differ == 0;
}

}  // namespace turgo
