// A file of requests, one JSON object per line in the form of OpenAI's batches
// (https://platform.openai.com/docs/guides/batch), answered in process: no port, no queue limit, many at
// once.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "serve/http/http_server.h"

namespace turgo {

struct BatchCounts {
  size_t num_requests = 0, num_failed = 0;  // failed: no answer, or one that is not 200
};

// Asks `handler` for each line {"custom_id", "method", "url", "body"} that `next` gives, at most `at_once`
// at a time, and hands {"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error"} to
// `done`, in the order of the lines. A line that is wrong gets an error there, and the others their answers.
BatchCounts run_batch(HttpHandler& handler, size_t at_once,
                      const std::function<std::optional<std::string>()>& next,
                      const std::function<void(const std::string&)>& done);

}  // namespace turgo
