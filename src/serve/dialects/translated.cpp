#include "serve/dialects/translated.h"

#include "serve/client/http_exchange.h"

namespace turgo {
namespace {

class TranslatingWriter : public HttpWriter {
 public:
  TranslatingWriter(HttpWriter& out, Dialect& dialect, LineCutter& lines)
      : out_(out), dialect_(dialect), lines_(lines) {}

  void respond(HttpResponse response) override {
    Json json = Json::parse(response.body, nullptr, false);
    if (response.head.status == 200)
      response.body = dialect_.whole(json);
    else
      response.body = dialect_.error_body(response.head.status, member(json, "error"));
    out_.respond(std::move(response));
  }
  void begin(HttpHead head) override {
    head.content_type = dialect_.content_type();
    out_.begin(std::move(head));
    out_.write(dialect_.begin());
  }
  void write(std::string_view text) override {
    lines_.add(text);
    std::string out;
    for (std::string data; lines_.next_event(data);) {
      if (data == "[DONE]") {
        out += dialect_.end();
        continue;
      }
      Json json = Json::parse(data, nullptr, false);
      out += json.contains("error") ? dialect_.failure(json["error"]) : dialect_.chunk(json);
    }
    if (!out.empty()) out_.write(out);
  }
  void note(const AnswerNote& answer) override { out_.note(answer); }

 private:
  HttpWriter& out_;
  Dialect& dialect_;
  LineCutter& lines_;
};

class TranslatedResponder : public Responder {
 public:
  TranslatedResponder(std::unique_ptr<Responder> inner, std::unique_ptr<Dialect> dialect)
      : inner_(std::move(inner)), dialect_(std::move(dialect)) {}
  void start(std::function<void()> wake) override { inner_->start(std::move(wake)); }
  bool advance(HttpWriter& out) override {
    TranslatingWriter writer(out, *dialect_, lines_);
    return inner_->advance(writer);
  }
  bool interrupt(HttpWriter& out, int status, const std::string& reason) override {
    TranslatingWriter writer(out, *dialect_, lines_);
    return inner_->interrupt(writer, status, reason);
  }

 private:
  std::unique_ptr<Responder> inner_;
  std::unique_ptr<Dialect> dialect_;
  LineCutter lines_;
};

}  // namespace

std::unique_ptr<Responder> respond_translated(ApiServer& server, const Call& call, InnerRoute route,
                                              Json body, std::unique_ptr<Dialect> dialect, bool streams) {
  body["stream"] = streams;
  if (streams) body["stream_options"] = {{"include_usage", true}};
  HttpRequest request = call.request;
  request.body = dump_json(body);
  Call inner{request, call.owner};
  return std::make_unique<TranslatedResponder>(route(server, inner), std::move(dialect));
}

const Json& member(const Json& object, const char* name) {
  static const Json none;
  auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() ? *found : none;
}

std::string text_of(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_string() ? value.get<std::string>() : "";
}

int64_t number_of(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_number_integer() ? value.get<int64_t>() : 0;
}

const Json& first_choice(const Json& answer) {
  const Json& choices = member(answer, "choices");
  return choices.is_array() && !choices.empty() ? choices[0] : member(answer, "no choice");
}

}  // namespace turgo
