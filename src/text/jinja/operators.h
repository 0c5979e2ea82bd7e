// Python's operators on Values: truth, equality, order, hashing, arithmetic, membership, length, iteration
// and subscripts. Errors are Error{kInvalidArgument} worded by Runtime; exhausted limits are
// Error{kResourceExhausted}.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace turgo::jinja {

class Runtime;

enum class BinaryOp : uint8_t { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class CompareOp : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

bool truthy(const Value& v);
bool equals(Runtime& rt, const Value& a, const Value& b, int depth = 0);
bool less(Runtime& rt, const Value& a, const Value& b, const char* op = "<", int depth = 0);
size_t hash_value(Runtime& rt, const Value& v, int depth = 0);
bool compare(Runtime& rt, CompareOp op, const Value& a, const Value& b);
bool contains(Runtime& rt, const Value& container, const Value& item);

Value binary(Runtime& rt, BinaryOp op, const Value& a, const Value& b);
Value negate(Runtime& rt, const Value& v);
Value positive(Runtime& rt, const Value& v);
[[noreturn]] void undefined_error(const Runtime& rt, const Value& v);

// len(); empty for what has none (Python raises TypeError).
std::optional<int64_t> length_of(const Value& v);
bool iterable(const Value& v);
// Every element, materialised; iterators are consumed. Raises for what can not be iterated.
std::vector<Value> elements(Runtime& rt, const Value& v);

// x.name: methods and members first, then x["name"]. Names that begin with "_" do not exist.
Value get_attribute(Runtime& rt, const Value& v, std::string_view name);
// x[key]: items first, then members.
Value get_item(Runtime& rt, const Value& v, const Value& key);
Value get_slice(Runtime& rt, const Value& v, const Value& start, const Value& stop, const Value& step);

// An argument that must be an integer that fits 64 bits.
int64_t to_index(Runtime& rt, const Value& v, const char* what);

}  // namespace turgo::jinja
