// One open model. The interpreter lock guards the members; the pipeline itself takes calls from any thread,
// and close() while others use it only takes it from newcomers.
#pragma once

#include <memory>
#include <string>

#include "bindings/bindings.h"
#include "bindings/options.h"
#include "pipeline/pipeline.h"
#include "serve/grammar/token_grammar.h"

namespace turgo::python {

class Model {
 public:
  static std::unique_ptr<Model> open(const nb::object& path, const nb::dict& options);
  ~Model();

  bool is_closed() const { return pipeline_ == nullptr; }
  void close();
  // Throws Error{kUnsupported} in a forked child, Error{kInvalidArgument} after close().
  std::shared_ptr<Pipeline> pipeline() const;

  // `input`: str to continue, a list of token ids, or (as `is_chat`) a list of messages.
  TextStream submit(const nb::object& input, bool is_chat, const Generation& generation,
                    const SessionRef& session, const nb::object& template_kwargs) const;

 private:
  explicit Model(std::unique_ptr<Pipeline> pipeline);

  Birthplace birthplace_;
  std::shared_ptr<Pipeline> pipeline_;
  std::shared_ptr<GrammarCompiler> grammars_;
};

}  // namespace turgo::python
