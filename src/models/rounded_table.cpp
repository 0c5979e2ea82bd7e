#include "models/rounded_table.h"

#include <vector>

#include "kernels/common/quant_blocks.h"

namespace turgo {
namespace {

class RoundedRows final : public RowReader {
 public:
  explicit RoundedRows(const RawTensor& table) : table_(table) {}

  void read(int64_t begin, int64_t count, std::byte* out) const override {
    const int64_t k = table_.shape[1], from = row_bytes(table_.dtype, k), to = row_bytes(DType::kQ8_0, k);
    const std::byte* first = table_.bytes.data() + begin * from;
    std::vector<float> row(static_cast<size_t>(k));
    for (int64_t r = 0; r < count; ++r) {
      dequantize_row(table_.dtype, first + r * from, row.data(), k);
      quantize_row(DType::kQ8_0, row.data(), out + r * to, k);
    }
    if (table_.file) table_.file->drop(first, static_cast<size_t>(count * from));
  }

 private:
  const RawTensor& table_;
};

}  // namespace

bool can_round_table(const RawTensor& table) {
  const bool floats = table.dtype == DType::kF32 || table.dtype == DType::kF16 || table.dtype == DType::kBF16;
  return floats && !table.reader && table.shape.rank == 2 &&
         table.shape[1] % dtype_info(DType::kQ8_0).block_size == 0;
}

RawTensor rounded_table(const RawTensor& table) {
  RawTensor rounded = table;
  rounded.dtype = DType::kQ8_0;
  rounded.reader = std::make_shared<RoundedRows>(table);
  return rounded;
}

}  // namespace turgo
