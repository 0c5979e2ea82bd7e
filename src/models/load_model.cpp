#include "models/load_model.h"

#include "models/architecture.h"
#include "models/weight_loader.h"

namespace turgo {
namespace {

// int8 activations pay where the bulk of the arithmetic has integer weights: any packed matrix of a layer.
bool any_integers(const DecoderWeights& weights) {
  for (const LayerWeights& layer : weights.layers)
    for (const LinearWeight* w : {&layer.qkv, &layer.o_proj, &layer.gate_up, &layer.down_proj})
      if (const auto* packed = std::get_if<PackedSegments>(&w->data))
        for (const PackedWeight& segment : packed->segments)
          if (has_integer_weights(segment.dtype)) return true;
  return false;
}

}  // namespace

DecoderConfig read_decoder_config(const ModelFile& file) {
  HyperParams params(file);
  return find_architecture(params).read_config(params);
}

LoadedModel load_model(std::shared_ptr<const ModelFile> file, const LoadOptions& options) {
  CHECK(file != nullptr);
  file->check_unchanged();
  HyperParams params(*file);
  const Architecture& architecture = find_architecture(params);
  LoadedModel model;
  model.config = architecture.read_config(params);
  WeightMap map = architecture.weight_map(params, model.config);
  auto specs = expand(map, model.config, *file);
  model.skipped = check_tensors(map, model.config, specs, *file);
  LoadOptions local = options;
  local.round_head =
      options.round_head && !file->quantization().empty() && options.precision != Precision::kF32;
  WeightLoader loader(*file, model.config, specs, local);
  model.weights = loader.load();
  model.config = loader.local_config();
  file->check_unchanged();
  const bool integers = any_integers(model.weights);
  model.precision = options.precision.value_or(integers ? Precision::kInt8 : Precision::kBF16);
  if (model.precision == Precision::kInt8 && !integers) model.precision = Precision::kBF16;
  model.file = std::move(file);
  return model;
}

}  // namespace turgo
