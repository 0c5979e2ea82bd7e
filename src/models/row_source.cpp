#include "models/row_source.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "kernels/common/finite_rows.h"

namespace turgo {
namespace {

// Rows [begin, end) as they lie in the map, or put together in `scratch`.
struct Rows {
  const std::byte* first;
  int64_t stride;
};

bool adjacent(const RowSource& s, int64_t begin, int64_t end) {
  return s.row(end - 1) == s.row(begin) + end - 1 - begin;
}

Rows rows_of(const RowSource& s, int64_t begin, int64_t end, std::vector<std::byte>& scratch) {
  const RawTensor& t = *s.tensor;
  const int64_t stride = row_bytes(t.dtype, t.shape.rank == 2 ? t.shape[1] : 1);
  const bool one_run = adjacent(s, begin, end);
  if (!t.reader && one_run) return {s.at(begin), stride};
  scratch.resize(static_cast<size_t>((end - begin) * stride));
  std::byte* out = scratch.data();
  const int64_t offset = row_bytes(t.dtype, s.k_begin);
  if (t.reader && one_run) {
    t.reader->read(s.row(begin), end - begin, out);
    return {out + offset, stride};
  }
  for (int64_t r = begin; r < end; ++r, out += stride) {
    if (t.reader) {
      t.reader->read(s.row(r), 1, out);
    } else {
      std::memcpy(out + offset, s.at(r), static_cast<size_t>(row_bytes(t.dtype, s.k)));
    }
  }
  return {scratch.data() + offset, stride};
}

// The first of `count` rows with a value that is not finite, -1 if there is none. The rows are read for
// packing anyway: while they are in the cache, this adds about a tenth to the time of packing.
int64_t bad_row(const RowSource& s, const Rows& rows, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    if (first_not_finite(s.tensor->dtype, rows.first + i * rows.stride, s.k) >= 0) return i;
  return -1;
}

// The same of rows that are not read through a reader, wherever they lie.
int64_t bad_row(const RowSource& s, int64_t begin, int64_t end) {
  CHECK(!s.tensor->reader, "{}: rows that a reader makes", s.tensor->name);
  for (int64_t r = begin; r < end; ++r)
    if (first_not_finite(s.tensor->dtype, s.at(r), s.k) >= 0) return r;
  return -1;
}

[[noreturn]] void fail_not_finite(const RowSource& s, int64_t r) {
  const RawTensor& t = *s.tensor;
  std::vector<std::byte> scratch;
  const int64_t column = first_not_finite(t.dtype, rows_of(s, r, r + 1, scratch).first, s.k);
  const int64_t width = t.shape.rank == 2 ? t.shape[1] : 1;
  fail(ErrorCode::kCorrupt, "{}: tensor {}: expected finite numbers, element {} ({}) is NaN or infinite{}",
       quote(t.file ? t.file->path() : "the model", 200), quote(t.name, 100),
       s.row(r) * width + s.k_begin + column, dtype_info(t.dtype).name,
       t.dtype == DType::kF8G64 ? " in its block of 64"
       : is_quantized(t.dtype)  ? " in its block's scale"
                                : "");
}

// The panels of one segment that a rank packs. A panel whose rows lie apart is first gathered: 32 rows stay
// in L2. Returns the first row that is not finite, or -1.
int64_t pack_panels(const RowSource& s, int64_t begin, int64_t end, std::vector<std::byte>& gathered,
                    std::byte* dst) {
  DType dtype = s.tensor->dtype;
  int64_t panel_bytes = packed_panel_bytes(dtype, s.k);
  for (int64_t p = begin; p < end; ++p) {
    int64_t r0 = p * kPanelRows, rows = std::min<int64_t>(kPanelRows, s.num_rows - r0);
    const Rows source = rows_of(s, r0, r0 + rows, gathered);
    if (int64_t bad = bad_row(s, source, rows); bad >= 0) return r0 + bad;
    pack_weight(dtype, source.first, source.stride, rows, s.k, 0, 1, dst + p * panel_bytes);
  }
  return -1;
}

// Source bytes between two drops of mapped pages.
constexpr int64_t kChunkBytes = 16 << 20;

void pack_in_chunks(const RowSource& s, ThreadTeam* team, std::vector<std::vector<std::byte>>& gathered,
                    std::byte* dst) {
  int64_t all_panels = num_panels(s.num_rows);
  int64_t panel_source_bytes = kPanelRows * row_bytes(s.tensor->dtype, s.tensor->shape[1]);
  int64_t chunk = std::max<int64_t>(1, kChunkBytes / panel_source_bytes);
  bool whole = !s.tensor->reader && s.num_rows == s.tensor->shape[0] && s.k == s.tensor->shape[1] &&
               s.run == s.num_rows;
  std::vector<int64_t> bad(gathered.size(), -1);  // by rank: a job must not throw
  for (int64_t begin = 0; begin < all_panels; begin += chunk) {
    int64_t end = std::min(all_panels, begin + chunk);
    auto job = [&](int rank) {
      Range r = split_range(end - begin, static_cast<int64_t>(gathered.size()), rank);
      bad[static_cast<size_t>(rank)] =
          pack_panels(s, begin + r.begin, begin + r.end, gathered[static_cast<size_t>(rank)], dst);
    };
    if (team) {
      team->run(job);
    } else {
      job(0);
    }
    for (int64_t r : bad)
      if (r >= 0) fail_not_finite(s, r);
    int64_t drop_bytes = panel_source_bytes * (end - begin);
    if (whole && end < all_panels)
      s.tensor->file->drop(s.at(begin * kPanelRows), static_cast<size_t>(drop_bytes));
  }
}

}  // namespace

RowSource RowSource::all(const RawTensor& tensor) {
  return rows(tensor, 0, tensor.shape[0]);
}

RowSource RowSource::rows(const RawTensor& tensor, int64_t begin, int64_t count) {
  RowSource s;
  s.tensor = &tensor;
  s.num_rows = s.run = s.stride = count;
  s.first = begin;
  s.k = tensor.shape.rank == 2 ? tensor.shape[1] : 1;
  return s;
}

const std::byte* RowSource::at(int64_t r) const {
  int64_t width = tensor->shape.rank == 2 ? tensor->shape[1] : 1;
  return tensor->bytes.data() + row(r) * row_bytes(tensor->dtype, width) + row_bytes(tensor->dtype, k_begin);
}

int64_t packed_size(std::span<const RowSource> sources) {
  int64_t sum = 0;
  for (const RowSource& s : sources)
    sum += WeightBuffer::rounded(packed_bytes(s.tensor->dtype, s.num_rows, s.k));
  return sum;
}

PackedSegments pack_segments(std::span<const RowSource> sources, WeightBuffer& buffer, ThreadTeam* team) {
  PackedSegments out;
  int ranks = team ? team->size() : 1;
  std::vector<std::vector<std::byte>> gathered(static_cast<size_t>(ranks));
  for (const RowSource& s : sources) {
    DType dtype = s.tensor->dtype;
    int64_t size = packed_bytes(dtype, s.num_rows, s.k);
    std::byte* dst = buffer.take(size);
    pack_in_chunks(s, team, gathered, dst);
    PackedWeight* last = out.segments.empty() ? nullptr : &out.segments.back();
    bool joins = last && last->dtype == dtype && last->n % kPanelRows == 0 &&
                 last->data + packed_bytes(dtype, last->n, last->k) == dst;
    if (joins) {
      last->n += s.num_rows;
    } else {
      out.segments.push_back({dtype, s.num_rows, s.k, dst});
    }
  }
  return out;
}

void check_finite(const RowSource& s) {
  const int64_t row_size = row_bytes(s.tensor->dtype, s.tensor->shape.rank == 2 ? s.tensor->shape[1] : 1);
  const int64_t chunk = std::max<int64_t>(1, kChunkBytes / std::max<int64_t>(1, row_size));
  for (int64_t begin = 0; begin < s.num_rows; begin += chunk) {
    const int64_t end = std::min(s.num_rows, begin + chunk);
    if (int64_t bad = bad_row(s, begin, end); bad >= 0) fail_not_finite(s, bad);
    if (end < s.num_rows) s.tensor->file->drop(s.at(begin), static_cast<size_t>((end - begin) * row_size));
  }
}

void read_f32(const RowSource& s, float* dst) {
  if (int64_t bad = bad_row(s, 0, s.num_rows); bad >= 0) fail_not_finite(s, bad);
  for (int64_t r = 0; r < s.num_rows; ++r) {
    const std::byte* p = s.at(r);
    for (int64_t j = 0; j < s.k; ++j, ++dst) {
      uint16_t half = 0;
      switch (s.tensor->dtype) {
        case DType::kF32:
          std::memcpy(dst, p + 4 * j, 4);
          break;
        case DType::kF16:
          std::memcpy(&half, p + 2 * j, 2);
          *dst = to_f32(f16{half});
          break;
        case DType::kBF16:
          std::memcpy(&half, p + 2 * j, 2);
          *dst = to_f32(bf16{half});
          break;
        default:
          CHECK(false, "{} is no norm's or bias's type", dtype_info(s.tensor->dtype).name);
      }
    }
  }
}

}  // namespace turgo
