#include "bindings/model.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace turgo::python {
namespace {

using Rows = nb::ndarray<nb::numpy, float, nb::ndim<2>, nb::c_contig>;

GrammarVocabulary grammar_vocabulary(const Pipeline& pipeline, const std::vector<int32_t>& stop_ids) {
  const Tokenizer& tokenizer = pipeline.tokenizer();
  GrammarVocabulary out;
  out.pieces.resize(static_cast<size_t>(pipeline.vocab_size()));
  for (int32_t id = 0; id < std::min(pipeline.vocab_size(), tokenizer.vocab_size()); ++id)
    if (!tokenizer.is_special(id)) out.pieces[static_cast<size_t>(id)] = tokenizer.piece(id, false);
  out.stop_ids = stop_ids;
  return out;
}

// The rows that `compute` hands to its sink, as one array that numpy owns: [num_tokens, row size].
template <class Compute>
Rows rows_of(const Model& model, const nb::object& token_ids, int64_t width, Compute compute) {
  std::vector<int32_t> ids = to_ids(token_ids, "input_ids");
  if (ids.empty()) fail(ErrorCode::kInvalidArgument, "input_ids: expected at least one token id, got none");
  auto count = static_cast<int64_t>(ids.size());
  std::shared_ptr<Pipeline> pipeline = model.pipeline();
  if (count > pipeline->session_len())
    fail(ErrorCode::kTooLong, "input_ids: {} tokens are more than the context of {}", count,
         pipeline->session_len());
  std::unique_ptr<float[]> data;
  {
    nb::gil_scoped_release unlocked;
    data = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(count * width));
    compute(*pipeline, ids, [&](int32_t index, std::span<const float> row) {
      CHECK_EQ(static_cast<int64_t>(row.size()), width);
      std::memcpy(data.get() + index * width, row.data(), row.size_bytes());
    });
  }
  float* raw = data.release();
  nb::capsule owner(raw, [](void* pointer) noexcept { delete[] static_cast<float*>(pointer); });
  return Rows(raw, {static_cast<size_t>(count), static_cast<size_t>(width)}, owner);
}

Rows logits(const Model& model, const nb::object& ids) {
  return rows_of(
      model, ids, model.pipeline()->vocab_size(),
      [](Pipeline& p, const auto& tokens, const auto& sink) { p.engine().compute_logits(tokens, sink); });
}

Rows hidden_states(const Model& model, const nb::object& ids) {
  return rows_of(
      model, ids, model.pipeline()->engine().model_config().hidden_size,
      [](Pipeline& p, const auto& tokens, const auto& sink) { p.engine().compute_hidden(tokens, sink); });
}

double log_sum_exp(std::span<const float> row) {
  double max = *std::max_element(row.begin(), row.end()), sum = 0;
  for (float x : row) sum += std::exp(static_cast<double>(x) - max);
  return max + std::log(sum);
}

// Mean of -log p(token i | tokens before it) over i >= 1. Only one row of logits is held.
double mean_nll(const Model& model, const nb::object& token_ids) {
  std::vector<int32_t> ids = to_ids(token_ids, "input_ids");
  if (ids.size() < 2)
    fail(ErrorCode::kInvalidArgument, "input_ids: expected at least two token ids, got {}", ids.size());
  std::shared_ptr<Pipeline> pipeline = model.pipeline();
  nb::gil_scoped_release unlocked;
  double sum = 0;
  pipeline->engine().compute_logits(ids, [&](int32_t index, std::span<const float> row) {
    auto next = static_cast<size_t>(index) + 1;
    if (next < ids.size()) sum += log_sum_exp(row) - static_cast<double>(row[static_cast<size_t>(ids[next])]);
  });
  return sum / static_cast<double>(ids.size() - 1);
}

nb::dict info(const Model& model) {
  std::shared_ptr<Pipeline> pipeline = model.pipeline();
  const ModelInfo& i = pipeline->info();
  nb::dict out;
  out["path"] = i.path;
  out["architecture"] = i.architecture;
  out["precision"] = i.precision;
  out["kernels"] = i.kernels;
  out["kv_type"] = i.kv_type;
  out["file_bytes"] = i.file_bytes;
  out["weight_bytes"] = i.weight_bytes;
  out["kv_bytes_per_token"] = i.kv_bytes_per_token;
  out["vocab_size"] = pipeline->vocab_size();
  out["hidden_size"] = pipeline->engine().model_config().hidden_size;
  out["session_len"] = pipeline->session_len();
  out["max_batch_size"] = pipeline->engine().config().max_batch_size;
  out["has_chat_template"] = pipeline->has_chat_template();
  return out;
}

nb::dict stats(const Model& model) {
  EngineStats s = model.pipeline()->engine().stats();
  nb::dict out;
  out["num_running"] = s.num_running;
  out["num_waiting"] = s.num_waiting;
  out["num_blocks"] = s.num_blocks;
  out["num_active_blocks"] = s.num_active_blocks;
  out["num_cached_blocks"] = s.num_cached_blocks;
  out["num_preemptions"] = s.num_preemptions;
  out["num_steps"] = s.num_steps;
  return out;
}

std::vector<int32_t> chat_tokens(const Model& model, const nb::object& messages, const nb::object& kwargs) {
  Json list = to_json(messages, "messages"), more = to_json(kwargs, "chat_template_kwargs");
  ChatTemplateOptions options;
  if (!more.is_null()) options.kwargs = &more;
  std::shared_ptr<Pipeline> pipeline = model.pipeline();
  nb::gil_scoped_release unlocked;
  return pipeline->chat_tokens(list, options);
}

template <class F>
auto engine_call(const Model& model, F&& f) {
  std::shared_ptr<Pipeline> pipeline = model.pipeline();
  nb::gil_scoped_release unlocked;
  return f(pipeline->engine());
}

void bind_sessions(nb::class_<Model>& c) {
  c.def("session_tokens", [](const Model& m, const std::string& id) {
    return engine_call(m, [&](Engine& e) { return e.session_tokens(id, ""); });
  });
  c.def("session_end", [](const Model& m, const std::string& id) {
    engine_call(m, [&](Engine& e) { e.end_session(id, ""); });
  });
  c.def("session_fork", [](const Model& m, const std::string& id, const std::string& new_id) {
    engine_call(m, [&](Engine& e) { e.fork_session(id, new_id, ""); });
  });
  c.def("session_save", [](const Model& m, const std::string& id, const std::string& path) {
    engine_call(m, [&](Engine& e) { e.save_session(id, "", path); });
  });
  c.def("session_load", [](const Model& m, const std::string& path, const std::string& id) {
    engine_call(m, [&](Engine& e) { e.load_session(path, id, ""); });
  });
  c.def("session_ids", [](const Model& m) {
    std::vector<std::string> ids;
    for (const SessionInfo& one : engine_call(m, [&](Engine& e) { return e.list_sessions(""); }))
      ids.push_back(one.id);
    return ids;
  });
}

}  // namespace

Model::Model(std::unique_ptr<Pipeline> pipeline) : pipeline_(std::move(pipeline)) {
  std::vector<int32_t> stop_ids = pipeline_->engine().model_config().eos_token_ids;
  // Weak: the compiler must not keep a closed model in memory.
  grammars_ = std::make_shared<GrammarCompiler>([weak = std::weak_ptr<Pipeline>(pipeline_), stop_ids] {
    std::shared_ptr<Pipeline> open = weak.lock();
    if (!open) fail(ErrorCode::kInvalidArgument, "the pipeline is closed");
    return grammar_vocabulary(*open, stop_ids);
  });
}

std::unique_ptr<Model> Model::open(const nb::object& path, const nb::dict& options) {
  std::string file = to_text(path, "model_path");
  PipelineConfig config = engine_config(options);
  std::unique_ptr<Pipeline> pipeline;
  {
    nb::gil_scoped_release unlocked;
    pipeline = Pipeline::open(file, config);
  }
  return std::unique_ptr<Model>(new Model(std::move(pipeline)));
}

Model::~Model() {
  close();
}

void Model::close() {
  std::shared_ptr<Pipeline> pipeline = std::move(pipeline_);
  std::shared_ptr<GrammarCompiler> grammars = std::move(grammars_);
  if (!pipeline) return;
  if (!birthplace_.is_here()) {
    // Its threads live in the parent; what they shared can not be taken apart here.
    new std::shared_ptr<Pipeline>(std::move(pipeline));
    new std::shared_ptr<GrammarCompiler>(std::move(grammars));
    return;
  }
  nb::gil_scoped_release unlocked;
  grammars.reset();
  pipeline.reset();
}

std::shared_ptr<Pipeline> Model::pipeline() const {
  birthplace_.require("the pipeline");
  if (!pipeline_) fail(ErrorCode::kInvalidArgument, "the pipeline is closed; expected an open one");
  return pipeline_;
}

TextStream Model::submit(const nb::object& input, bool is_chat, const Generation& generation,
                         const SessionRef& session, const nb::object& template_kwargs) const {
  std::shared_ptr<Pipeline> pipeline = this->pipeline();
  std::shared_ptr<GrammarCompiler> grammars = grammars_;
  GenerationConfig config = generation.config;
  Json messages, kwargs;
  Segment segment;
  bool is_text = PyUnicode_Check(input.ptr());
  if (is_chat) {
    messages = to_json(input, "messages");
    kwargs = to_json(template_kwargs, "chat_template_kwargs");
  } else {
    segment = is_text ? Segment::from_text(to_text(input, "prompt"))
                      : Segment::from_tokens(to_ids(input, "input_ids"));
  }
  nb::gil_scoped_release unlocked;
  if (generation.grammar) {
    try {
      config.mask = compile_grammar(*grammars, *generation.grammar)->start();
    } catch (const ApiError& error) {
      fail(ErrorCode::kInvalidArgument, "{}", error.message);
    }
  }
  if (!is_chat) return pipeline->generate({std::move(segment)}, config, session);
  ChatTemplateOptions options;
  if (!kwargs.is_null()) options.kwargs = &kwargs;
  return pipeline->chat_from(pipeline->chat_tokens(messages, options), config, session);
}

void bind_model(nb::module_& m) {
  nb::class_<Model> c(m, "Model");
  c.def_static("open", &Model::open, nb::arg("path"), nb::arg("options"));
  c.def("close", &Model::close);
  c.def_prop_ro("is_closed", &Model::is_closed);
  c.def("info", &info);
  c.def("stats", &stats);
  c.def("chat_tokens", &chat_tokens, nb::arg("messages"), nb::arg("kwargs").none());
  c.def("prompt_tokens", [](const Model& model, const nb::object& text) {
    return model.pipeline()->prompt_tokens({Segment::from_text(to_text(text, "prompt"))});
  });
  c.def("logits", &logits, nb::arg("input_ids"));
  c.def("hidden_states", &hidden_states, nb::arg("input_ids"));
  c.def("mean_nll", &mean_nll, nb::arg("input_ids"));
  bind_sessions(c);
}

}  // namespace turgo::python
