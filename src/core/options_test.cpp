#include "core/options.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace turgo {
namespace {

struct Settings {
  int32_t session_len = 0;
  float top_p = 0.8f;
  bool json = false;
  std::string precision = "int8";
  std::vector<std::string> stop;
  std::optional<uint64_t> seed;
};

OptionList list(Settings& s) {
  OptionList out;
  out.add("session_len", &s.session_len, "tokens").range(0, 1 << 20);
  out.add("top_p", &s.top_p, "nucleus").range(0, 1);
  out.add("json", &s.json, "print JSON");
  out.add("precision", &s.precision, "arithmetic").choices({"int8", "bf16", "f32"});
  out.add("stop", &s.stop, "stop string");
  out.add("seed", &s.seed, "random seed").shown_default("random");
  return out;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Options, TextSetsEveryKind) {
  Settings s;
  OptionList options = list(s);
  options.find("session_len")->set_text("2048");
  options.find("top_p")->set_text("0.25");
  options.find("json")->set_text("true");
  options.find("precision")->set_text("f32");
  options.find("stop")->set_text("a");
  options.find("stop")->set_text("");
  options.find("seed")->set_text("18446744073709551615");
  EXPECT_EQ(s.session_len, 2048);
  EXPECT_EQ(s.top_p, 0.25f);
  EXPECT_TRUE(s.json);
  EXPECT_EQ(s.precision, "f32");
  EXPECT_EQ(s.stop, (std::vector<std::string>{"a", ""}));
  EXPECT_EQ(s.seed, UINT64_MAX);
}

TEST(Options, ErrorsNameFlagExpectationAndValue) {
  Settings s;
  OptionList options = list(s);
  EXPECT_EQ(error_of([&] { options.find("session_len")->set_text("12x"); }),
            "--session-len: expected a whole number, got '12x'");
  EXPECT_EQ(error_of([&] { options.find("session_len")->set_text("99999999999"); }),
            "--session-len: expected a whole number, got '99999999999'");
  EXPECT_EQ(error_of([&] { options.find("session_len")->set_text("-1"); }),
            "--session-len: expected a number from 0 to 1048576, got '-1'");
  EXPECT_EQ(error_of([&] { options.find("top_p")->set_text("nan"); }),
            "--top-p: expected a number, got 'nan'");
  EXPECT_EQ(error_of([&] { options.find("precision")->set_text("fp8"); }),
            "--precision: expected one of int8, bf16, f32, got 'fp8'");
  EXPECT_EQ(error_of([&] { options.find("top_p")->set_text(""); }), "--top-p: expected a number, got ''");
  EXPECT_EQ(s.session_len, 0);
}

TEST(Options, JsonRoundTrip) {
  Settings s, t;
  OptionList a = list(s), b = list(t);
  a.set_json(Json::parse(R"({"session_len": 7.0, "top_p": 1, "json": true, "stop": ["x", "y"], "seed": 3})"),
             "body");
  b.set_json(a.to_json(), "body");
  EXPECT_EQ(a.to_json(), b.to_json());
  EXPECT_EQ(t.session_len, 7);
  EXPECT_EQ(t.stop.size(), 2u);
  b.set_json(Json::parse(R"({"stop": "one", "seed": null})"), "body");
  EXPECT_EQ(t.stop, std::vector<std::string>{"one"});
  EXPECT_FALSE(t.seed.has_value());
}

TEST(Options, JsonErrors) {
  Settings s;
  OptionList options = list(s);
  auto error = [&](const char* text) {
    return error_of([&] { options.set_json(Json::parse(text), "body"); });
  };
  EXPECT_EQ(error(R"({"sesion_len": 1})"), "body: unknown key 'sesion_len'; did you mean 'session_len'?");
  EXPECT_EQ(error(R"({"session_len": "1"})"), "--session-len: expected a whole number, got '\"1\"'");
  EXPECT_EQ(error(R"({"session_len": 1.5})"), "--session-len: expected a whole number, got '1.5'");
  EXPECT_EQ(error(R"({"session_len": 1e300})"), "--session-len: expected a whole number, got '1e+300'");
  EXPECT_EQ(error(R"({"seed": -1})"), "--seed: expected a whole number >= 0, got '-1'");
  EXPECT_EQ(error("[]"), "body: expected a JSON object");
}

TEST(Options, HelpTexts) {
  Settings s;
  OptionList options = list(s);
  EXPECT_EQ(options.find("session_len")->flag(), "--session-len");
  EXPECT_EQ(options.find("top_p")->default_text(), "0.8");
  EXPECT_EQ(options.find("seed")->default_text(), "random");
  EXPECT_EQ(options.find("json")->default_text(), "");
}

TEST(Options, ClosestName) {
  EXPECT_EQ(closest_name("temprature", {"temperature", "top_p"}), "temperature");
  EXPECT_EQ(closest_name("xyzzy", {"temperature", "top_p"}), "");
  EXPECT_EQ(closest_name("chta", {"check_env", "chat"}), "chat");
  EXPECT_EQ(closest_name("cot", {"chat"}), "");
  EXPECT_EQ(closest_name("cha", {"chat", "check_env"}), "chat");
}

}  // namespace
}  // namespace turgo
