#include "pipeline/pipeline.h"

#include <algorithm>
#include <cstdlib>

#include "core/error.h"
#include "core/log.h"
#include "core/progress.h"
#include "io/model_assets.h"
#include "models/load_model.h"
#include "pipeline/load_tokenizer.h"
#include "pipeline/rank_models.h"

namespace turgo {
namespace {

const char* precision_name(Precision precision) {
  return precision == Precision::kInt8 ? "int8" : precision == Precision::kBF16 ? "bf16" : "f32";
}

std::optional<Precision> asked_precision(const std::string& name) {
  if (name == "int8") return Precision::kInt8;
  if (name == "bf16") return Precision::kBF16;
  if (name == "f32") return Precision::kF32;
  return std::nullopt;
}

double mib(int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

int64_t linear_bytes(const LinearWeight& weight) {
  int64_t bytes = 0;
  if (const auto* packed = std::get_if<PackedSegments>(&weight.data))
    for (const PackedWeight& segment : packed->segments)
      bytes += packed_bytes(segment.dtype, segment.n, segment.k);
  if (const auto* dense = std::get_if<DenseWeight>(&weight.data))
    bytes = row_bytes(dense->data.dtype, weight.k) * weight.n;
  return bytes;
}

// Of the weights that one decoded token reads.
int64_t decode_bytes(const DecoderWeights& weights) {
  int64_t bytes = linear_bytes(weights.lm_head);
  for (const LayerWeights& layer : weights.layers)
    for (const LinearWeight* weight : {&layer.qkv, &layer.o_proj, &layer.gate_up, &layer.down_proj})
      bytes += linear_bytes(*weight);
  return bytes;
}

int64_t layer_weights(const DecoderWeights& weights) {
  int64_t sum = 0;
  for (const LayerWeights& layer : weights.layers)
    for (const LinearWeight* weight : {&layer.qkv, &layer.o_proj, &layer.gate_up, &layer.down_proj})
      sum += weight->n * weight->k;
  return sum;
}

// LMDeploy's "hf" means "not converted": a script that says so runs with a GGUF file too. The reverse is a
// mistake.
void check_format(const ModelFile& file, const std::string& asked) {
  const std::string is = file.kind() == ModelFile::Kind::kGguf ? "gguf"
                         : file.quantization().empty()         ? "hf"
                                                               : file.quantization();
  if (asked.empty() || asked == is || (asked == "hf" && is != "gguf")) return;
  if (asked == "hf")
    log_warning("--model-format hf: {} is a GGUF file and is read as one", quote(file.path(), 200));
  else
    fail(ErrorCode::kInvalidArgument, "--model-format {}: expected such a model, but {} is {}", asked,
         quote(file.path(), 200), is);
}

// A factor that the user gives replaces the model's own scaling, except that dynamic NTK stays dynamic.
void scale_rope(DecoderConfig& config, float factor) {
  if (factor < 1) return;
  for (RopeConfig& rope : config.ropes) {
    if (rope.scaling != RopeScaling::kDynamicNtk) rope.scaling = RopeScaling::kLinear;
    rope.factor = factor;
  }
  config.max_position = static_cast<int32_t>(
      std::min<double>(static_cast<double>(config.max_position) * static_cast<double>(factor), 1 << 24));
}

// Every token that ends an answer, from all the places where files say so.
void collect_eos(DecoderConfig& config, const ModelAssets& assets, const Tokenizer* tokenizer) {
  std::vector<int32_t> ids = config.eos_token_ids;
  ids.insert(ids.end(), assets.stop_token_ids.begin(), assets.stop_token_ids.end());
  if (tokenizer) ids.push_back(tokenizer->eos_id());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  std::erase_if(ids, [&](int32_t id) { return id < 0 || id >= config.vocab_size; });
  config.eos_token_ids = std::move(ids);
}

int64_t kv_bytes_per_token(const DecoderConfig& config, KvType type) {
  int64_t bytes = 0;
  for (const CacheSpec& spec : make_cache_specs(config, type)) bytes += spec.block_bytes;
  return bytes / kKvBlockTokens;
}

// Printed before the load, so that a number that is too large is seen before it hurts.
void print_plan(const ModelFile& file, const DecoderConfig& config, int64_t kv_per_token, int32_t session_len,
                int32_t max_rows) {
  int64_t widest = 0;
  for (const LayerConfig& layer : config.layers)
    widest =
        std::max<int64_t>(widest, 2 * int64_t{layer.num_heads} * layer.head_dim + layer.intermediate_size);
  int64_t workspace = max_rows * (config.hidden_size + widest) * 4;
  log_info("{}: {}, {} layers, context {}", file.path(), config.architecture, config.num_layers(),
           session_len);
  log_info(
      "plan: weights {:.0f} MiB, KV {:.1f} KiB per token ({:.0f} MiB for a full context), workspace {:.0f} "
      "MiB",
      mib(static_cast<int64_t>(file.total_bytes())), static_cast<double>(kv_per_token) / 1024,
      mib(kv_per_token * session_len), mib(workspace));
}

LoadedModel load_with_progress(const std::shared_ptr<const ModelFile>& file, LoadOptions& options) {
  ProgressBar bar("loading");
  options.progress = [&](int64_t done, int64_t total) { bar.show(done, total); };
  return load_model(file, options);
}

const KernelTable& chosen_kernels() {
  const char* isa = std::getenv("TURGO_ISA");
  if (const char* warning = kernel_warning()) log_warning("{}", warning);
  if (const KernelTable* kernels = select_kernels(isa)) return *kernels;
  fail(ErrorCode::kInvalidArgument,
       "TURGO_ISA={}: expected the name of kernels that this CPU can run; `turgo check_env` lists them",
       quote(isa ? isa : ""));
}

// What a rank needs beside its weights is rank 0's: the rope may have been scaled, ends were collected.
std::vector<LoadedModel> load_other_ranks(const std::shared_ptr<const ModelFile>& file, LoadOptions options,
                                          LoadedModel first) {
  std::vector<LoadedModel> shards;
  shards.push_back(std::move(first));
  options.progress = nullptr;
  for (options.plan.rank = 1; options.plan.rank < options.plan.world; ++options.plan.rank) {
    shards.push_back(load_model(file, options));
    shards.back().config.ropes = shards[0].config.ropes;
    shards.back().config.eos_token_ids = shards[0].config.eos_token_ids;
  }
  return shards;
}

void add_weights(ModelInfo& info, const std::vector<LoadedModel>& shards) {
  for (const LoadedModel& shard : shards) {
    info.weight_bytes += shard.weights.weight_bytes;
    info.decode_bytes += decode_bytes(shard.weights);
    info.head_weights += shard.weights.lm_head.n * shard.weights.lm_head.k;
    info.layer_weights += layer_weights(shard.weights);
  }
}

EngineConfig engine_config(const PipelineConfig& config, int32_t session_len, KvType kv_type) {
  EngineConfig engine;
  engine.session_len = session_len;
  engine.max_batch_size = config.max_batch_size;
  engine.max_queue = config.max_queue > 0 ? config.max_queue : std::max(1024, 4 * config.max_batch_size);
  engine.max_prefill_tokens = config.max_prefill_token_num;
  engine.num_tokens_per_iter = config.num_tokens_per_iter;
  engine.max_prefill_iters = config.max_prefill_iters;
  engine.cache_max_entry_count = config.cache_max_entry_count;
  engine.kv_type = kv_type;
  engine.enable_prefix_caching = config.enable_prefix_caching;
  engine.session_ttl_seconds = config.session_ttl;
  return engine;
}

}  // namespace

Pipeline::~Pipeline() = default;

std::unique_ptr<Pipeline> Pipeline::open(const std::string& path, const PipelineConfig& config) {
  check_config(config);
  const KernelTable& kernels = chosen_kernels();
  std::shared_ptr<const ModelFile> file = open_model(path);
  check_format(*file, config.model_format);
  DecoderConfig preview = read_decoder_config(*file);
  scale_rope(preview, config.rope_scaling_factor);
  int32_t session_len = config.session_len > 0 ? config.session_len : preview.max_position;
  if (session_len > preview.max_position)
    log_warning("--session-len {} is more than the {} tokens that the model was made for", session_len,
                preview.max_position);
  int32_t max_rows = std::max(config.max_prefill_token_num, config.max_batch_size);
  KvType kv_type = kv_type_of(config);
  int64_t kv_per_token = kv_bytes_per_token(preview, kv_type);
  print_plan(*file, preview, kv_per_token, session_len, max_rows);

  std::unique_ptr<Pipeline> pipeline(new Pipeline);
  ModelAssets assets = find_assets(*file);
  pipeline->load_text(*file, assets, config);

  pipeline->team_ = std::make_shared<ThreadTeam>(config.threads);
  LoadOptions options;
  options.precision = asked_precision(config.precision);
  options.round_head = config.head_type == "int8";
  options.plan.world = config.tp;
  options.team = pipeline->team_.get();
  LoadedModel model = load_with_progress(file, options);
  scale_rope(model.config, config.rope_scaling_factor);
  collect_eos(model.config, assets, pipeline->tokenizer_.get());

  ModelInfo& info = pipeline->info_;
  info.path = path;
  info.architecture = model.config.architecture;
  info.precision = precision_name(model.precision);
  info.fingerprint = file->fingerprint();
  info.file_bytes = static_cast<int64_t>(file->total_bytes());
  std::vector<LoadedModel> shards = load_other_ranks(file, options, std::move(model));
  add_weights(info, shards);
  info.kv_type = kv_type_name(kv_type);
  info.kv_bytes_per_token = kv_per_token;

  std::vector<RankModel> ranks = make_ranks(
      std::move(shards), {pipeline->team_, &kernels, kv_type, session_len, max_rows, config.profile});
  info.kernels = kernels.isa;
  log_info("running {} kernels on {} threads, {} ranks, {} arithmetic, {} KV cache", kernels.isa,
           pipeline->team_->size(), config.tp, info.precision, info.kv_type);

  pipeline->engine_ = create_engine(ranks, engine_config(config, session_len, kv_type));
  return pipeline;
}

std::unique_ptr<Pipeline> Pipeline::over(std::unique_ptr<Engine> engine, ModelInfo info,
                                         const PipelineConfig& config) {
  std::shared_ptr<const ModelFile> file = open_model_without_weights(info.path);
  std::unique_ptr<Pipeline> pipeline(new Pipeline);
  pipeline->load_text(*file, find_assets(*file), config);
  pipeline->info_ = std::move(info);
  pipeline->engine_ = std::move(engine);
  return pipeline;
}

void Pipeline::load_text(const ModelFile& file, const ModelAssets& assets, const PipelineConfig& config) {
  if (!config.needs_tokenizer) return;
  tokenizer_ = load_tokenizer(file);
  format_ = ChatFormat::choose(config.chat_template, assets, file.kind() == ModelFile::Kind::kHuggingFace);
}

const Tokenizer& Pipeline::tokenizer() const {
  if (!tokenizer_)
    fail(ErrorCode::kUnsupported,
         "{}: no tokenizer found; expected tokenizer.json or tokenizer.model in the folder, or a vocabulary "
         "in the GGUF",
         quote(info_.path, 200));
  return *tokenizer_;
}

const std::string& Pipeline::chat_template_source() const {
  static const std::string kNone;
  return format_ ? format_->source() : kNone;
}

void Pipeline::require_chat_template() const {
  if (!format_)
    fail(
        ErrorCode::kUnsupported,
        "{}: the model has no chat template (it may be a base model: `turgo generate --raw` continues text); "
        "--chat-template NAME|FILE gives it one, `turgo list` shows the names",
        quote(info_.path, 200));
}

std::vector<int32_t> Pipeline::chat_tokens(const std::vector<Message>& messages) const {
  require_chat_template();
  return format_->encode(messages, tokenizer());
}

std::vector<int32_t> Pipeline::chat_tokens(const nlohmann::ordered_json& messages,
                                           const ChatTemplateOptions& options) const {
  require_chat_template();
  return format_->encode(messages, options, tokenizer());
}

std::vector<int32_t> Pipeline::prompt_tokens(const Prompt& prompt) const {
  std::vector<int32_t> ids;
  bool starts_with_text = !prompt.empty() && prompt.front().kind == Segment::Kind::kText;
  for (const Segment& segment : prompt) {
    if (segment.kind == Segment::Kind::kImage)
      fail(ErrorCode::kUnsupported, "images in a prompt are not built yet; expected text or token ids");
    std::vector<int32_t> more =
        segment.kind == Segment::Kind::kTokens ? segment.tokens : tokenizer().encode(segment.text, true);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  if (starts_with_text && tokenizer().add_bos() && (ids.empty() || ids.front() != tokenizer().bos_id()))
    ids.insert(ids.begin(), tokenizer().bos_id());
  return ids;
}

TextStream Pipeline::generate(const Prompt& prompt, const GenerationConfig& config,
                              const SessionRef& session) {
  return generate_from(prompt_tokens(prompt), config, session);
}

TextStream Pipeline::generate_from(std::vector<int32_t> ids, const GenerationConfig& config,
                                   const SessionRef& session) {
  return submit(std::move(ids), config, session, false);
}

TextStream Pipeline::chat(const std::vector<Message>& messages, const GenerationConfig& config,
                          const SessionRef& session) {
  return chat_from(chat_tokens(messages), config, session);
}

TextStream Pipeline::chat_from(std::vector<int32_t> ids, const GenerationConfig& config,
                               const SessionRef& session) {
  require_chat_template();
  GenerationConfig own = config;
  if (!config.ignore_eos) {
    // Most stop words of templates are control tokens, which never appear in the text.
    for (const std::string& word : format_->stop_words()) {
      int32_t id = tokenizer_->token_to_id(word);
      if (id >= 0) own.stop_token_ids.push_back(id);
      if (id < 0) own.stop.push_back(word);
    }
  }
  return submit(std::move(ids), own, session, true);
}

// The session's tokens as far as the engine still has them.
static std::vector<int32_t> known_tokens(Engine& engine, const SessionRef& session) {
  try {
    return engine.session_tokens(session.id, session.owner);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return {};  // it begins with this request, or it has expired
  }
}

// `at_start`: the answer is a text of its own, not the continuation of one.
TextStream Pipeline::submit(std::vector<int32_t> ids, const GenerationConfig& config,
                            const SessionRef& session, bool at_start) {
  if (ids.empty()) fail(ErrorCode::kInvalidArgument, "the prompt is empty; expected at least one token");
  auto num_input = static_cast<int32_t>(ids.size());
  int32_t step = -1;
  if (!session.id.empty()) {
    // Only what differs from the session's tokens is computed; at least one token has to be.
    std::vector<int32_t> known = known_tokens(*engine_, session);
    auto end = std::min(known.size(), ids.size() - 1);
    auto same =
        std::mismatch(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(end), known.begin()).first;
    step = static_cast<int32_t>(same - ids.begin());
    ids.erase(ids.begin(), same);
  }
  return continue_at(step, std::move(ids), config, session, at_start, num_input);
}

TextStream Pipeline::continue_at(int32_t step, std::vector<int32_t> ids, const GenerationConfig& config,
                                 const SessionRef& session, bool at_start, int32_t num_input) {
  Request request;
  request.sampling = sampling_params(config);
  request.max_new_tokens = config.max_new_tokens;
  request.stop_token_ids = config.stop_token_ids;
  request.ignore_eos = config.ignore_eos;
  request.max_seconds = config.max_seconds;
  request.priority = config.priority;
  request.mask = config.mask;
  request.session_id = session.id;
  request.owner = session.owner;
  request.step = step;
  request.input_ids = std::move(ids);
  std::shared_ptr<AnswerText> text;
  if (tokenizer_) {
    text = std::make_shared<AnswerText>(
        tokenizer_, AnswerRules{config.stop, config.include_stop, config.skip_special_tokens, at_start,
                                config.min_new_tokens});
    request.observer = text;
  }
  return TextStream(engine_->submit(std::move(request)), std::move(text), num_input);
}

}  // namespace turgo
