#include "models/weight_map.h"

#include <algorithm>
#include <unordered_set>

#include "core/error.h"

namespace turgo {
namespace {

using enum WeightRole;

struct RoleTraits {
  Shard shard = Shard::kNone;
  PruneGroup rows = PruneGroup::kNone, columns = PruneGroup::kNone;
};

RoleTraits traits(WeightRole role) {
  using enum PruneGroup;
  switch (role) {
    case kEmbedTokens:
      return {Shard::kNone, PruneGroup::kNone, kHidden};
    case kLmHead:
      return {Shard::kColumn, PruneGroup::kNone, kHidden};
    case kQ:
    case kGroupedQkv:
      return {Shard::kColumn, kKvGroup, kHidden};
    case kK:
    case kV:
      return {Shard::kKvReplicated, kKvGroup, kHidden};
    case kO:
      return {Shard::kRow, kHidden, kKvGroup};
    case kGate:
    case kUp:
      return {Shard::kColumn, kIntermediate, kHidden};
    case kDown:
      return {Shard::kRow, kHidden, kIntermediate};
    case kQNorm:
    case kKNorm:
      return {};
    default:
      return {Shard::kNone, kHidden, PruneGroup::kNone};
  }
}

bool per_layer(WeightRole role) {
  return role != kEmbedTokens && role != kFinalNorm && role != kLmHead;
}
bool of_attention(WeightRole role) {
  return role == kInputNorm || role == kPostAttentionNorm || (role >= kQNorm && role <= kO);
}

Shape shape_of(WeightRole role, const DecoderConfig& c, const LayerConfig* l) {
  int64_t hidden = c.hidden_size;
  int64_t q = l ? int64_t{l->num_heads} * l->head_dim : 0;
  int64_t kv = l ? int64_t{l->num_kv_heads} * l->head_dim : 0;
  switch (role) {
    case kEmbedTokens:
    case kLmHead:
      return {c.vocab_size, hidden};
    case kQNorm:
    case kKNorm:
      return {l->head_dim};
    case kQ:
      return {q, hidden};
    case kK:
    case kV:
      return {kv, hidden};
    case kGroupedQkv:
      return {q + 2 * kv, hidden};
    case kO:
      return {hidden, q};
    case kGate:
    case kUp:
      return {l->intermediate_size, hidden};
    case kDown:
      return {hidden, l->intermediate_size};
    default:
      return {hidden};
  }
}

Presence bias_presence(const WeightMap& map, WeightRole role) {
  switch (role) {
    case kQ:
    case kK:
    case kV:
    case kGroupedQkv:
      return map.qkv_bias;
    case kO:
      return map.o_bias;
    case kGate:
    case kUp:
    case kDown:
      return map.mlp_bias;
    default:
      return Presence::kNever;
  }
}

std::string with_layer(const std::string& pattern, int layer) {
  size_t at = pattern.find("{}");
  if (at == std::string::npos) return pattern;
  return pattern.substr(0, at) + std::to_string(layer) + pattern.substr(at + 2);
}

bool skipped(const WeightMap& map, const DecoderConfig& config, const std::string& name) {
  if (config.tied_embeddings && name == map.lm_head + ".weight") return true;
  return std::any_of(map.skip_prefixes.begin(), map.skip_prefixes.end(),
                     [&](const auto& p) { return name.starts_with(p); }) ||
         std::any_of(map.skip_suffixes.begin(), map.skip_suffixes.end(),
                     [&](const auto& s) { return name.ends_with(s); });
}

// GPTQ's tools write one for every linear.
bool zero_bias(const RawTensor& t) {
  return t.name.ends_with(".bias") && t.shape.rank == 1 &&
         std::ranges::all_of(t.bytes, [](std::byte b) { return b == std::byte{0}; });
}

// "a, b, c and 7 more"
std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(3, names.size()); ++i)
    text += (i ? ", " : "") + quote(names[i], 100);
  return names.size() > 3 ? fmt::format("{} and {} more", text, names.size() - 3) : text;
}

}  // namespace

std::vector<TensorSpec> expand(const WeightMap& map, const DecoderConfig& config, const ModelFile& file) {
  std::vector<TensorSpec> specs;
  auto add = [&](WeightRole role, int layer, const std::string& name) {
    const LayerConfig* l = layer < 0 ? nullptr : &config.layers[static_cast<size_t>(layer)];
    RoleTraits t = traits(role);
    Shape shape = shape_of(role, config, l);
    specs.push_back({role, layer, name + ".weight", shape, false, t.shard, t.rows, t.columns});
    Presence bias = bias_presence(map, role);
    if (bias == Presence::kAlways || (bias == Presence::kIfInFile && file.find(name + ".bias")))
      // A row-parallel product is summed over the ranks: its bias belongs to one of them, so it is never cut.
      specs.push_back({role, layer, name + ".bias", Shape{shape[0]}, true,
                       t.shard == Shard::kRow ? Shard::kNone : t.shard, t.rows, PruneGroup::kNone});
  };
  for (const WeightName& w : map.names)
    if (w.role == kEmbedTokens) add(w.role, -1, map.prefix + w.name);
  for (int i = 0; i < config.num_layers(); ++i) {
    const LayerConfig& l = config.layers[static_cast<size_t>(i)];
    for (const WeightName& w : map.names) {
      if (!per_layer(w.role)) continue;
      bool missing = of_attention(w.role) ? l.attention == AttentionKind::kNone : l.mlp == MlpKind::kNone;
      if (!missing) add(w.role, i, map.prefix + with_layer(w.name, i));
    }
  }
  for (const WeightName& w : map.names)
    if (w.role == kFinalNorm) add(w.role, -1, map.prefix + w.name);
  if (!config.tied_embeddings) add(kLmHead, -1, map.lm_head);
  return specs;
}

std::vector<std::string> check_tensors(const WeightMap& map, const DecoderConfig& config,
                                       const std::vector<TensorSpec>& specs, const ModelFile& file) {
  std::vector<std::string> missing, extra, skips;
  std::unordered_set<std::string_view> known;
  std::string path = quote(file.path(), 200);
  for (const TensorSpec& spec : specs) {
    known.insert(spec.name);
    const RawTensor* t = file.find(spec.name);
    if (!t) {
      missing.push_back(spec.name);
    } else if (!(t->shape == spec.shape)) {
      fail(ErrorCode::kCorrupt, "{}: tensor {}: expected shape {} from the configuration, got {}", path,
           quote(spec.name, 100), spec.shape.str(), t->shape.str());
    }
  }
  if (!missing.empty())
    fail(ErrorCode::kCorrupt, "{}: {} of {} tensors are missing: {}; is the download complete?", path,
         missing.size(), specs.size(), listed(missing));
  for (const RawTensor& t : file.tensors()) {
    if (known.contains(t.name)) continue;
    (skipped(map, config, t.name) || zero_bias(t) ? skips : extra).push_back(t.name);
  }
  if (!extra.empty())
    fail(ErrorCode::kUnsupported,
         "{}: {} tensors that architecture {} does not have: {}; the model would answer wrongly without them",
         path, extra.size(), config.architecture, listed(extra));
  return skips;
}

std::string find_prefix(const ModelFile& file, const std::vector<std::string>& prefixes,
                        const std::string& name) {
  for (const std::string& prefix : prefixes)
    if (file.find(prefix + name)) return prefix;
  return prefixes.front();
}

}  // namespace turgo
