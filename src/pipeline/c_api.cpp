// turgo.h over Pipeline. Every function is a guard() around a few lines: it turns exceptions into statuses
// and keeps their text for turgo_last_error(). The only place where an Error becomes a turgo_status.
#include <chrono>
#include <new>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/json.h"
#include "pipeline/pipeline.h"
#include "pipeline/turgo.h"

struct turgo_model {
  std::unique_ptr<turgo::Pipeline> pipeline;
};

struct turgo_stream {
  turgo::TextStream stream;
  turgo::TextEvent last;  // what the pointers of the last turgo_event point into
  std::vector<int32_t> ids;
  bool ended = false;
};

namespace turgo {
namespace {

std::string& last_error() {
  thread_local std::string text;
  return text;
}

turgo_status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return TURGO_INVALID_ARGUMENT;
    case ErrorCode::kNotFound:
      return TURGO_NOT_FOUND;
    case ErrorCode::kCorrupt:
      return TURGO_CORRUPT;
    case ErrorCode::kUnsupported:
      return TURGO_UNSUPPORTED;
    case ErrorCode::kTooLong:
      return TURGO_TOO_LONG;
    case ErrorCode::kResourceExhausted:
      return TURGO_RESOURCE_EXHAUSTED;
    case ErrorCode::kIo:
      return TURGO_IO;
    case ErrorCode::kCancelled:
      return TURGO_CANCELLED;
  }
  return TURGO_INTERNAL;
}

// f() returns a turgo_status.
template <class F>
turgo_status guard(F&& f) noexcept {
  try {
    try {
      return f();
    } catch (const Error& error) {
      last_error() = error.what();
      return status_of(error.code());
    } catch (const std::bad_alloc&) {
      last_error() = "out of memory; a smaller session_len or a smaller model needs less";
      return TURGO_RESOURCE_EXHAUSTED;
    } catch (const std::exception& error) {
      last_error() = std::string("internal error, please report it: ") + error.what();
      return TURGO_INTERNAL;
    } catch (...) {
      last_error() = "internal error, please report it";
      return TURGO_INTERNAL;
    }
  } catch (...) {  // no memory for the text either
    return TURGO_RESOURCE_EXHAUSTED;
  }
}

template <class T>
void require(T* pointer, const char* name) {
  if (!pointer) fail(ErrorCode::kInvalidArgument, "{}: expected a pointer, got NULL", name);
}

std::string text_or_empty(const char* text) {
  return text ? text : "";
}

Json object_of(const char* text, const char* what) {
  Json json = parse_json(text, what);
  if (!json.is_object())
    fail(ErrorCode::kInvalidArgument, "{}: expected a JSON object, got {}", what, quote(json.dump()));
  return json;
}

// Takes a key out of the object, so that what is left are options.
Json take(Json& object, const char* key) {
  auto it = object.find(key);
  if (it == object.end()) return nullptr;
  Json value = std::move(*it);
  object.erase(it);
  return value;
}

std::string take_string(Json& object, const char* key) {
  Json value = take(object, key);
  if (value.is_null()) return "";
  if (!value.is_string())
    fail(ErrorCode::kInvalidArgument, "{}: expected a string, got {}", key, quote(value.dump()));
  return value.get<std::string>();
}

std::vector<Message> messages_of(const Json& list) {
  auto wrong = [](const Json& got) {
    fail(ErrorCode::kInvalidArgument,
         "messages: expected a list of {{\"role\": \"user\", \"content\": \"text\"}}, got {}",
         quote(got.dump()));
  };
  if (!list.is_array()) wrong(list);
  std::vector<Message> messages;
  for (const Json& one : list) {
    if (!one.is_object() || one.size() != 2 || !one.contains("role") || !one.contains("content") ||
        !one["role"].is_string() || !one["content"].is_string())
      wrong(one);
    messages.push_back(Message::from_text(one["role"].get<std::string>(), one["content"].get<std::string>()));
  }
  return messages;
}

std::vector<int32_t> ids_of(const Json& list) {
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    if (!list.is_array() || !id.is_number_integer() || id < 0 || id > INT32_MAX)
      fail(ErrorCode::kInvalidArgument, "token_ids: expected a list of numbers >= 0, got {}",
           quote(id.dump()));
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

TextStream submit(Pipeline& pipeline, const char* request_json) {
  Json request = object_of(request_json, "the request");
  Json messages = take(request, "messages"), prompt = take(request, "prompt"),
       ids = take(request, "token_ids");
  if (messages.is_null() + prompt.is_null() + ids.is_null() != 2)
    fail(ErrorCode::kInvalidArgument, "the request: expected one of messages, prompt and token_ids");
  SessionRef session;
  session.id = take_string(request, "session");
  session.owner = take_string(request, "owner");
  GenerationConfig config;
  OptionList options;
  list_options(config, options);
  options.set_json(request, "the request");
  if (!messages.is_null()) return pipeline.chat(messages_of(messages), config, session);
  if (!ids.is_null()) return pipeline.generate({Segment::from_tokens(ids_of(ids))}, config, session);
  if (!prompt.is_string())
    fail(ErrorCode::kInvalidArgument, "prompt: expected a string, got {}", quote(prompt.dump()));
  return pipeline.generate({Segment::from_text(prompt.get<std::string>())}, config, session);
}

turgo_finish finish_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return TURGO_RUNNING;
    case FinishReason::kStop:
      return TURGO_STOP;
    case FinishReason::kLength:
      return TURGO_LENGTH;
    case FinishReason::kCancelled:
      return TURGO_FINISH_CANCELLED;
    case FinishReason::kError:
      return TURGO_FINISH_ERROR;
    case FinishReason::kTimeout:
      return TURGO_FINISH_TIMEOUT;
  }
  return TURGO_FINISH_ERROR;
}

turgo_status next(turgo_stream& s, int timeout_ms, turgo_event& event) {
  if (s.ended) return TURGO_END;
  std::optional<std::chrono::milliseconds> timeout;
  if (timeout_ms >= 0) timeout = std::chrono::milliseconds(timeout_ms);
  auto came = s.stream.next(timeout);
  if (!came) return TURGO_TIMEOUT;
  s.last = std::move(*came);
  s.ids.clear();
  for (const OutputToken& token : s.last.tokens) s.ids.push_back(token.token_id);
  s.ended = s.last.finish != FinishReason::kNone;
  event = {s.last.text.c_str(), s.last.text.size(),       s.ids.data(),
           s.ids.size(),        finish_of(s.last.finish), s.last.error.c_str()};
  return TURGO_OK;
}

}  // namespace
}  // namespace turgo

using turgo::guard;
using turgo::require;
using turgo::text_or_empty;

const char* turgo_version(void) {
  return TURGO_VERSION;
}
int turgo_abi_version(void) {
  return 1;
}
const char* turgo_last_error(void) {
  return turgo::last_error().c_str();
}

turgo_status turgo_open(const char* path, const char* options_json, turgo_model** model) {
  return guard([&] {
    require(model, "model");
    *model = nullptr;
    require(path, "path");
    turgo::PipelineConfig config;
    turgo::OptionList options;
    list_options(config, options);
    if (options_json) options.set_json(turgo::object_of(options_json, "the options"), "the options");
    *model = new turgo_model{turgo::Pipeline::open(path, config)};
    return TURGO_OK;
  });
}

void turgo_close(turgo_model* model) {
  delete model;
}

turgo_status turgo_submit(turgo_model* model, const char* request_json, turgo_stream** stream) {
  return guard([&] {
    require(stream, "stream");
    *stream = nullptr;
    require(model, "model");
    require(request_json, "request_json");
    *stream = new turgo_stream{turgo::submit(*model->pipeline, request_json), {}, {}, false};
    return TURGO_OK;
  });
}

turgo_status turgo_next(turgo_stream* stream, int timeout_ms, turgo_event* event) {
  return guard([&] {
    require(stream, "stream");
    require(event, "event");
    return turgo::next(*stream, timeout_ms, *event);
  });
}

void turgo_cancel(turgo_stream* stream) {
  if (stream) guard([&] { return stream->stream.cancel(), TURGO_OK; });
}

void turgo_stream_free(turgo_stream* stream) {
  delete stream;
}

turgo_status turgo_generate(turgo_model* model, const char* request_json, turgo_on_event on_event,
                            void* user) {
  turgo_stream* stream = nullptr;
  turgo_status status = guard([&] {
    if (!on_event) turgo::fail(turgo::ErrorCode::kInvalidArgument, "on_event: expected a function, got NULL");
    return TURGO_OK;
  });
  if (status == TURGO_OK) status = turgo_submit(model, request_json, &stream);
  while (status == TURGO_OK) {
    turgo_event event;
    status = turgo_next(stream, -1, &event);
    if (status != TURGO_OK) break;
    if (on_event(user, &event) != 0) turgo_cancel(stream);
    if (event.finish == TURGO_FINISH_ERROR)
      status = guard([&] {
        turgo::fail(turgo::ErrorCode::kResourceExhausted, "{}", event.error);
        return TURGO_OK;
      });
    if (event.finish != TURGO_RUNNING) break;
  }
  turgo_stream_free(stream);
  return status;
}

turgo_status turgo_session_num_tokens(turgo_model* model, const char* id, const char* owner,
                                      int32_t* num_tokens) {
  return guard([&] {
    require(model, "model");
    require(num_tokens, "num_tokens");
    auto tokens = model->pipeline->engine().session_tokens(text_or_empty(id), text_or_empty(owner));
    *num_tokens = static_cast<int32_t>(tokens.size());
    return TURGO_OK;
  });
}

turgo_status turgo_session_fork(turgo_model* model, const char* id, const char* new_id, const char* owner) {
  return guard([&] {
    require(model, "model");
    model->pipeline->engine().fork_session(text_or_empty(id), text_or_empty(new_id), text_or_empty(owner));
    return TURGO_OK;
  });
}

turgo_status turgo_session_save(turgo_model* model, const char* id, const char* owner, const char* path) {
  return guard([&] {
    require(model, "model");
    require(path, "path");
    model->pipeline->engine().save_session(text_or_empty(id), text_or_empty(owner), path);
    return TURGO_OK;
  });
}

turgo_status turgo_session_load(turgo_model* model, const char* path, const char* id, const char* owner) {
  return guard([&] {
    require(model, "model");
    require(path, "path");
    model->pipeline->engine().load_session(path, text_or_empty(id), text_or_empty(owner));
    return TURGO_OK;
  });
}

turgo_status turgo_session_end(turgo_model* model, const char* id, const char* owner) {
  return guard([&] {
    require(model, "model");
    model->pipeline->engine().end_session(text_or_empty(id), text_or_empty(owner));
    return TURGO_OK;
  });
}
