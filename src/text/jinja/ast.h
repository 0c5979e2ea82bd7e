// The syntax tree. One struct for expressions and one for statements, tagged by kind; the comment beside each
// kind says which fields it uses. Heights are bounded by Limits::max_parse_depth, so recursion over a tree
// (also in destructors) is bounded.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/operators.h"
#include "text/jinja/value.h"

namespace turgo::jinja {

enum class ExprKind : uint8_t {
  kConst,      // value
  kName,       // name, symbol
  kTuple,      // items
  kList,       // items
  kDict,       // items: key, value, key, value …
  kConcat,     // items: operands of ~
  kBinary,     // items[0] op items[1]
  kCompare,    // items[0] compare_ops[0] items[1] compare_ops[1] items[2] …
  kAnd,        // items[0], items[1]
  kOr,         // items[0], items[1]
  kNot,        // items[0]
  kNegate,     // items[0]
  kPositive,   // items[0]
  kCondition,  // items: test, then, [else]
  kAttribute,  // items[0].name
  kItem,       // items[0][items[1]]
  kSlice,      // items[0][items[1]:items[2]:items[3]], absent parts are kConst none
  kCall,       // items[0](items[1…], named…)
  kFilter,     // items[0] | name(items[1…], named…); items[0] is null for the body of a block
  kTest,       // items[0] is name(items[1…], named…)
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind;
  BinaryOp op = BinaryOp::kAdd;
  int line = 0;
  int height = 1;
  int symbol = -1;
  std::string name;
  Value value;
  std::vector<ExprPtr> items;
  std::vector<std::pair<std::string, ExprPtr>> named;
  std::vector<CompareOp> compare_ops;
};

enum class StmtKind : uint8_t {
  kData,         // text
  kOutput,       // expr
  kIf,           // branches (test, body) in order; orelse
  kFor,          // target in expr [if test]; body; orelse; recursive
  kSet,          // target = expr
  kSetBlock,     // target, body, [expr: filter chain with a null innermost operand]
  kFilterBlock,  // expr: filter chain; body
  kMacro,        // symbol, text (name); params; body
  kWith,         // params as assignments; body
  kScoped,       // body in a scope of its own (generation)
  kBreak,
  kContinue,
};

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

struct Param {
  std::string name;
  int symbol;
  ExprPtr value;  // default of a parameter (may be null), value of a `with` assignment
};

struct Stmt {
  StmtKind kind;
  int line = 0;
  int symbol = -1;
  bool recursive = false;
  bool wants_varargs = false, wants_kwargs = false;
  StrRef text;
  ExprPtr target, expr, test;
  std::vector<Param> params;
  std::vector<std::pair<ExprPtr, Block>> branches;
  Block body, orelse;
};

struct Template {
  Block body;
  std::vector<std::string> symbols;  // names by number
};

}  // namespace turgo::jinja
