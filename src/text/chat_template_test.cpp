// Chat templates: what they print, which bytes count as input, and what a hostile template or conversation
// gets. Equality with jinja2 is the business of tests/e2e/test_templates_oracle.py.
#include "text/chat_template.h"
#include "core/cpu_time_test_util.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "core/json.h"

namespace turgo {
namespace {

using ::testing::HasSubstr;

Json user(const std::string& text) {
  return Json::array({{{"role", "user"}, {"content", text}}});
}

std::string render(const std::string& source, const Json& messages = Json::array()) {
  return ChatTemplate::parse(source, "<s>", "</s>")->render(messages).text;
}

// "text" with each input range in «».
std::string marked(const MarkedText& m) {
  std::string out;
  size_t at = 0;
  for (const auto& range : m.input) {
    out +=
        m.text.substr(at, range.begin - at) + "«" + m.text.substr(range.begin, range.end - range.begin) + "»";
    at = range.end;
  }
  return out + m.text.substr(at);
}
std::string marked(const std::string& source, const Json& messages) {
  return marked(ChatTemplate::parse(source, "<s>", "</s>")->render(messages));
}

// The error of parsing and rendering; its message must be one line.
Error failure(const std::string& source, const Json& messages = user("hi")) {
  try {
    std::string text = ChatTemplate::parse(source, "", "")->render(messages).text;
    ADD_FAILURE() << "no error; rendered " << text.substr(0, 100);
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    return e;
  }
  return Error(ErrorCode::kIo, "");
}

std::string repeat(const std::string& text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

constexpr const char* kChatMl =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor "
    "%}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

TEST(ChatTemplate, RendersChatMl) {
  Json messages = {{{"role", "system"}, {"content", "Be kind."}}, {{"role", "user"}, {"content", "Hi"}}};
  EXPECT_EQ(
      render(kChatMl, messages),
      "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  ChatTemplateOptions options;
  options.add_generation_prompt = false;
  EXPECT_EQ(ChatTemplate::parse(kChatMl, "", "")->render(user("Hi"), options).text,
            "<|im_start|>user\nHi<|im_end|>\n");
}

TEST(ChatTemplate, MarksWhatComesFromMessages) {
  EXPECT_EQ(marked(kChatMl, user("a <|im_end|> b")),
            "<|im_start|>user\n«a <|im_end|> b»<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, MarksSurviveStringOperations) {
  Json m = user("  Ab-cD é ");
  EXPECT_EQ(marked("{{ messages[0].content | trim }}", m), "«Ab-cD é»");
  EXPECT_EQ(marked("{{ messages[0].content.strip().upper() }}!", m), "«AB-CD É»!");
  EXPECT_EQ(marked("<{{ messages[0].content[2:4] }}>", m), "<«Ab»>");
  EXPECT_EQ(marked("{{ messages[0].content.split('-') | join('+') }}", m), "«  Ab»+«cD é »");
  EXPECT_EQ(marked("{{ messages[0].content | replace('-', '_') | trim }}", m), "«Ab»_«cD é»");
  EXPECT_EQ(marked("{{ 'x-y' | replace('-', messages[0].content.strip()) }}", m), "x«Ab-cD é»y");
  EXPECT_EQ(marked("{{ ('[' ~ messages[0].content ~ ']')[::-1] }}", m), "]« é Dc-bA  »[");
  EXPECT_EQ(marked("{{ '%s|%d' % (messages[0].content[2], 3) }}", m), "«A»|3");
  EXPECT_EQ(marked("{{ '{}:{:>4}'.format(1, messages[0].content[2:4]) }}", m), "1:  «Ab»");
  EXPECT_EQ(marked("{% set x %}({{ messages[0].content[2] }}){% endset %}{{ x }}", m), "(«A»)");
  EXPECT_EQ(marked("{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f(messages[0].content[2]) }}", m), "<«A»>");
  EXPECT_EQ(marked("{{ messages[0].content[2] | list }}", m), "['«A»']");
  EXPECT_EQ(marked("{{ messages[0].content | indent(2, true) }}", m), "  «  Ab-cD é »");
}

TEST(ChatTemplate, MarksSurviveJson) {
  Json m = {{{"role", "user"}, {"content", {{"k", {1, "</tool>", nullptr}}}}}};
  EXPECT_EQ(marked("{{ messages[0].content | tojson }}", m), "«{\"k\": [1, \"</tool>\", null]}»");
  EXPECT_EQ(marked("{{ {'name': 'f', 'a': messages[0].content.k[1]} | tojson }}", m),
            "{\"name\": \"f\", \"a\": «\"</tool>\"»}");
  EXPECT_EQ(marked("{{ messages[0].content }}", m), "«{'k': [1, '</tool>', None]}»");
  EXPECT_EQ(marked("n={{ messages[0].content.k[0] + 1 }}", m), "n=«2»");
  EXPECT_EQ(marked("{{ ('[\"' ~ messages[0].content.k[1] ~ '\"]') | from_json }}", m), "«['</tool>']»");
}

TEST(ChatTemplate, KnownRolesBelongToTheTemplate) {
  Json m = {{{"role", "user"}, {"content", "x"}}, {{"role", "<|im_start|>"}, {"content", "user"}}};
  EXPECT_EQ(marked("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}", m),
            "<|user|>«x»<|«<|im_start|>»|>«user»");
}

// However a template mangles a control token, no unmarked byte of it comes from the user.
TEST(ChatTemplate, UserTextNeverLosesItsMark) {
  const std::vector<std::string> templates = {"{{ messages[0].content }}",
                                              "{{ messages | tojson }}",
                                              "{{ messages[0].content | upper | lower }}",
                                              "{{ messages }}",
                                              "{{ messages[0].content.split('|') | join('+') }}",
                                              "{{ messages[0].content | list | join }}",
                                              "{{ messages[0].content.replace('x', 'y') }}",
                                              "{{ messages[0] | dictsort }}",
                                              "{{ messages[0].values() | list }}",
                                              "{{ messages[0].content | reverse | reverse }}",
                                              "{{ messages[0].content * 2 }}",
                                              "{{ '%r' % messages[0].content }}",
                                              "{% for c in messages[0].content %}{{ c }}{% endfor %}",
                                              "{{ messages[0].content.partition('_') | join }}",
                                              "{{ messages | map(attribute='content') | join(',') }}",
                                              "{{ '{0!r}'.format(messages[0].content) }}",
                                              "{{ messages[0].content.splitlines() | first }}",
                                              "{{ messages[0].content | safe | string }}",
                                              "{{ dict(a=messages[0].content) | tojson(indent=2) }}",
                                              "{{ messages[0].content.encode is defined }}",
                                              "{{ messages[0].content.center(40) | truncate(30) }}",
                                              "{{ messages[0].content | title | capitalize }}"};
  std::string token = "<|im_end|>";
  for (const std::string& source : templates) {
    MarkedText out = ChatTemplate::parse(source, "", "")->render(user("x" + token + "y"));
    std::vector<bool> is_input(out.text.size());
    for (const auto& range : out.input) {
      for (size_t i = range.begin; i < range.end; ++i) is_input[i] = true;
    }
    for (size_t i = 0; i < out.text.size(); ++i) {
      if (out.text[i] == '<' || out.text[i] == '|' || out.text[i] == '>') {
        EXPECT_TRUE(is_input[i]) << source << " byte " << i << " of " << out.text;
      }
    }
  }
}

TEST(ChatTemplate, TemplateSyntaxInMessagesIsText) {
  EXPECT_EQ(render("{{ messages[0].content }}", user("{{ 1 + 1 }}{% if x %}")), "{{ 1 + 1 }}{% if x %}");
}

TEST(ChatTemplate, PassesVariables) {
  auto t = ChatTemplate::parse(
      "{{ bos_token }}{{ tools is none }}{{ tools | length if tools }}{{ x }}{{ eos_token }}", "<s>", "</s>");
  EXPECT_EQ(t->render(user("")).text, "<s>True</s>");
  Json tools = {{{"name", "f"}}};
  Json kwargs = {{"x", 7}};
  ChatTemplateOptions options;
  options.tools = &tools;
  options.kwargs = &kwargs;
  EXPECT_EQ(marked(t->render(user(""), options)), "<s>False1«7»</s>");
  for (const char* name : {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"}) {
    Json own = {{name, 1}};
    options.kwargs = &own;
    EXPECT_THROW(t->render(user(""), options), Error) << name;
  }
}

TEST(ChatTemplate, RaiseExceptionIsTheCallersFaultAndCut) {
  Error e = failure("a\n{{ raise_exception('roles must\nalternate') }}");
  EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(e.what(), HasSubstr("line 2: roles must?alternate"));
  EXPECT_LT(std::string(failure("{{ raise_exception('x' * 1000000) }}").what()).size(), 1200u);
}

TEST(ChatTemplate, ErrorsNameTheLine) {
  EXPECT_THAT(failure("a\nb\n{{ 1 + }}").what(), HasSubstr("line 3"));
  EXPECT_THAT(failure("a\nb{% if x %}").what(), HasSubstr("line 2"));
  EXPECT_THAT(failure("\n\n{{ messages.x.y }}").what(), HasSubstr("line 3"));
  EXPECT_THAT(failure("{{ nothing.at.all }}").what(), HasSubstr("'nothing' is undefined"));
}

TEST(ChatTemplate, SyntaxErrors) {
  for (const char* source : {"{{",
                             "{%",
                             "{#",
                             "{{ 'a }}",
                             "{{ (1 }}",
                             "{{ 1) }}",
                             "{% endif %}",
                             "{% for x %}{% endfor %}",
                             "{% raw %}",
                             "{{ a b }}",
                             "{% set 1 = 2 %}",
                             "{% set true = 2 %}",
                             "{% break %}",
                             "{% if %}{% endif %}",
                             "{{ '\\xZZ' }}",
                             "{{ '\\ud800' }}",
                             "{{ f(a=1, 2) }}",
                             "{{ f(a=1, a=2) }}",
                             "{% macro f(a=1, b) %}{% endmacro %}",
                             "{{ $ }}",
                             "{% unknown %}",
                             "{{ x is }}",
                             "{{ x | }}",
                             "{{ {1} }}",
                             "{{ 0x }}",
                             "{%--%}",
                             "{{ 170141183460469231731687303715884105728 }}"}) {
    EXPECT_EQ(failure(source).code(), ErrorCode::kCorrupt) << source;
  }
  EXPECT_EQ(failure(std::string("a\xFF")).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(failure(std::string("\xED\xA0\x80")).code(), ErrorCode::kCorrupt);
}

TEST(ChatTemplate, RefusesOtherFilesAndBlocks) {
  for (const char* source :
       {"{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}",
        "{% block x %}{% endblock %}", "{% call f() %}{% endcall %}",
        "{% autoescape true %}{% endautoescape %}", "{{ f(*x) }}"}) {
    EXPECT_EQ(failure(source).code(), ErrorCode::kUnsupported) << source;
  }
  EXPECT_EQ(failure("{{ 1 | no_such_filter }}").code(), ErrorCode::kUnsupported);
  EXPECT_EQ(failure("{{ 1 is no_such_test }}").code(), ErrorCode::kUnsupported);
}

TEST(ChatTemplate, PythonObjectsDoNotExist) {
  for (const char* source : {"{{ ''.__class__ }}", "{{ ''['__class__'] }}", "{{ '' | attr('__class__') }}",
                             "{{ messages.__init__ }}", "{{ range.__globals__ }}", "{{ {}.mro }}",
                             "{{ namespace.__init__ }}", "{{ raise_exception.__code__ }}"}) {
    EXPECT_EQ(render(source), "") << source;
  }
  for (const char* source :
       {"{{ ''.__class__.__mro__ }}", "{{ ''.__class__() }}", "{{ lipsum() }}", "{{ cycler(1) }}",
        "{{ self.x }}", "{% set ns = namespace() %}{% set ns.__a__ = 1 %}", "{{ namespace(_x=1) }}",
        "{{ '{0.__class__}'.format('') }}"}) {
    EXPECT_EQ(failure(source).code(), ErrorCode::kInvalidArgument) << source;
  }
}

TEST(ChatTemplate, BoundsTheSource) {
  EXPECT_EQ(render(""), "");
  EXPECT_EQ(render(std::string((1 << 20), 'a')).size(), size_t{1} << 20);
  EXPECT_EQ(failure(std::string((1 << 20) + 1, 'a')).code(), ErrorCode::kResourceExhausted);
}

TEST(ChatTemplate, BoundsNesting) {
  const size_t many = 100000;
  for (const std::string& source :
       {"{{ " + repeat("(", many) + "1" + repeat(")", many) + " }}",
        "{{ " + repeat("[", many) + repeat("]", many) + " }}",
        "{{ " + repeat("{1:", many) + "1" + repeat("}", many) + " }}",
        repeat("{% if 1 %}", 10000) + repeat("{% endif %}", 10000),
        "{{ 'a'" + repeat("|upper", 10000) + " }}", "{{ " + repeat("1 if 1 else ", 50000) + "2 }}",
        "{{ " + repeat("not ", many) + "1 }}", "{{ " + repeat("-", many) + "1 }}",
        "{{ 1" + repeat("+1", many) + " }}", "{{ a" + repeat(".a", many) + " }}",
        "{{ a" + repeat("[0]", many) + " }}", "{{ a" + repeat("()", many) + " }}",
        "{{ 1" + repeat(" or 1", many) + " }}",
        "{% set " + repeat("(", many) + "a" + repeat(")", many) + " = 1 %}",
        "{{ 1" + repeat(" if 1", many) + " }}", "{{ 1" + repeat(" is defined", many) + " }}",
        repeat("{% for x in [1] %}", 5000) + repeat("{% endfor %}", 5000),
        "{{ x" + repeat(" is sameas x", 3) + repeat("[x", many) + " }}"}) {
    Error e = failure(source);
    EXPECT_TRUE(e.code() == ErrorCode::kResourceExhausted || e.code() == ErrorCode::kCorrupt) << e.what();
  }
  EXPECT_EQ(render("{{ " + repeat("(", 100) + "7" + repeat(")", 100) + " }}"), "7");
  EXPECT_EQ(render(repeat("{% if 1 %}", 100) + "x" + repeat("{% endif %}", 100)), "x");
  EXPECT_EQ(render("{{ 0" + repeat("~1", 20000) + " }}").size(), 20001u);
}

TEST(ChatTemplate, BoundsRecursion) {
  for (const char* source :
       {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{{ f(n + 1) ~ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% macro f(a=f()) %}{% endmacro %}{{ f() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"}) {
    EXPECT_EQ(failure(source).code(), ErrorCode::kResourceExhausted) << source;
  }
}

TEST(ChatTemplate, BoundsWorkAndMemory) {
  double begin = cpu_seconds();
  for (const char* source :
       {"{{ range(1000000000) | list }}",
        "{{ range(0, -1000000000, -1) | length }}",
        "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}",
        "{{ '-' * 10000000000 }}",
        "{{ [1] * 10000000000 }}",
        "{{ [[]] * 100000000 }}",
        "{{ 'a' | indent(1000000000) }}",
        "{{ [1] | tojson(indent=1000000000) }}",
        "{{ 'a'.center(1000000000) }}",
        "{{ 'a'.zfill(1000000000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ [1] | batch(1000000000, 0) | list }}",
        "{{ [1] | slice(1000000000) | list }}",
        "{% set ns = namespace(s='aa') %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(40) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='aa') %}{% for i in range(40) %}{% set ns.s = ns.s | replace('a', ns.s) "
        "%}{% endfor %}",
        "{% set ns = namespace(s=['aa']) %}{% for i in range(40) %}{% set ns.s = [ns.s | join(ns.s | join)] "
        "* 3 %}{% endfor %}",
        "{% set x = [1] %}{% for i in x %}{{ x.append(1) }}{% endfor %}",
        "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
        "{% for i in range(100000) %}{% set a = [0] * 100000 %}{% endfor %}",
        "{% set ns = namespace(d={}) %}{% for i in range(100000) %}{% for j in range(100000) %}{{ "
        "ns.d.update({i * j: 'a' * 1000}) }}{% endfor %}{% endfor %}"}) {
    EXPECT_EQ(failure(source).code(), ErrorCode::kResourceExhausted) << source;
  }
  auto seconds = cpu_seconds() - begin;
  EXPECT_LT(seconds, 60) << "22 templates at their limits";
}

TEST(ChatTemplate, RefusesValuesThatHoldThemselves) {
  for (const char* source :
       {"{% set ns = namespace() %}{% set ns.x = [ns] %}{% set ns.y = {'a': ns} %}{{ [ns.x] | tojson }}",
        "{% set x = [1] %}{{ x.append(x) }}{{ x }}", "{% set x = [1] %}{{ x.append(x) }}{{ x | tojson }}",
        "{% set x = [1] %}{{ x.append(x) }}{% set y = [1] %}{{ y.append(y) }}{{ x == y }}",
        "{% set x = {} %}{{ x.update(a=x) }}{{ x }}",
        "{% set x = [1] %}{{ x.append(x) }}{{ [x, [1, x]] | sort }}"}) {
    ErrorCode code = failure(source).code();
    EXPECT_TRUE(code == ErrorCode::kResourceExhausted || code == ErrorCode::kInvalidArgument) << source;
  }
  Json deep = "x";
  for (int i = 0; i < 500; ++i) deep = Json::array({deep});
  EXPECT_EQ(failure("{{ messages }}", deep).code(), ErrorCode::kResourceExhausted);
}

TEST(ChatTemplate, TypeErrors) {
  for (const char* source : {"{{ 1 // 0 }}",
                             "{{ 1 % 0 }}",
                             "{{ 1 / 0 }}",
                             "{{ 10 ** 10 ** 10 }}",
                             "{{ 9223372036854775807 ** 3 }}",
                             "{{ [1][::0] }}",
                             "{{ range(1, 2, 0) }}",
                             "{{ [1] | batch }}",
                             "{{ [1] | slice(0) | list }}",
                             "{{ 1() }}",
                             "{{ 'a' + 1 }}",
                             "{{ none < 1 }}",
                             "{{ [1, 'a'] | sort }}",
                             "{{ 1 in 2 }}",
                             "{{ {}.get() }}",
                             "{{ 'a'.split('') }}",
                             "{% for x in 5 %}{% endfor %}",
                             "{% set a, b = [1] %}",
                             "{{ 'a'.upper(1) }}",
                             "{{ 'a' | upper(x=1) }}",
                             "{{ {[]: 1} }}",
                             "{% set x = 1 %}{% set x.y = 2 %}",
                             "{{ strftime_now('%' * 2000) }}",
                             "{{ strftime_now('%999999d') }}",
                             "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}",
                             "{% macro f(a) %}{% endmacro %}{{ f(b=2) }}",
                             "{{ (1).x.y }}",
                             "{{ undefined_thing() }}",
                             "{{ '%d' % 'x' }}",
                             "{{ '%s %s' % 'x' }}",
                             "{{ '{} {}'.format(1) }}",
                             "{{ '{'.format(1) }}",
                             "{{ 'x' | from_json }}",
                             "{{ [] | tojson(separators=1) }}",
                             "{{ messages.missing + 1 }}",
                             "{{ loop.previtem }}",
                             "{{ messages | tojson | int(base=99) }}",
                             "{{ missing | tojson }}",
                             "{{ 1e308 ** 2 }}",
                             "{{ 'inf' | float | int }}"}) {
    ErrorCode code = failure(source).code();
    EXPECT_TRUE(code == ErrorCode::kInvalidArgument || code == ErrorCode::kCorrupt) << source;
  }
}

TEST(ChatTemplate, ExtremeIndicesAreUndefined) {
  EXPECT_EQ(render("{{ [1][9223372036854775807] }}{{ [1][-9223372036854775808] }}{{ 'a'[99] }}{{ [1].5 }}"),
            "");
  EXPECT_EQ(render("{{ 'abc'[-9223372036854775808:9223372036854775807] }}"), "abc");
  EXPECT_EQ(render("{{ 'abc'[::9223372036854775807] }}{{ 'abc'[::-9223372036854775808] }}"), "ac");
}

TEST(ChatTemplate, OddConversations) {
  EXPECT_EQ(render(kChatMl, Json::array()), "<|im_start|>assistant\n");
  EXPECT_THROW(render(kChatMl, Json()), Error);
  for (const Json& content : {Json(nullptr), Json(5), Json(2.5), Json(true), Json::array(), Json::object()}) {
    Json m = {{{"role", "user"}, {"content", content}}};
    EXPECT_NO_THROW(render(kChatMl, m));
  }
  EXPECT_THROW(render(kChatMl, Json(5)), Error);
  Json big = {{{"role", "user"}, {"content", Json::array()}}};
  for (int i = 0; i < 100000; ++i) big[0]["content"].push_back({{"type", "text"}, {"text", "ab"}});
  EXPECT_EQ(render("{% for p in messages[0].content %}{{ p.text }}{% endfor %}", big).size(), 200000u);
}

TEST(ChatTemplate, IsLinearInTheConversation) {
  std::string text(8 << 20, 'x');
  double begin = cpu_seconds();
  EXPECT_EQ(render("{{ messages[0].content | trim | replace('y', 'z') }}", user(text)).size(), text.size());
  EXPECT_LT(cpu_seconds() - begin, 5);
  EXPECT_EQ(failure("{{ messages[0].content }}{{ messages[0].content }}{{ messages[0].content }}", user(text))
                .code(),
            ErrorCode::kResourceExhausted);
}

// A megabyte of one character through every template of the fixtures and every built-in one.
TEST(ChatTemplate, OneMegabyteIsLinearInEveryTemplate) {
  std::vector<std::shared_ptr<const ChatTemplate>> templates;
  for (const std::string& name : list_builtin_chat_templates())
    templates.push_back(builtin_chat_template(name, "<s>", "</s>"));
  for (const auto& file : std::filesystem::directory_iterator(TURGO_SOURCE_DIR "/tests/fixtures/templates"))
    templates.push_back(load_chat_template(file.path().string(), "<s>", "</s>"));
  ASSERT_GT(templates.size(), 100u);
  for (const std::string_view unit : {"A", " ", "\n", "<", "中"}) {
    std::string text;
    while (text.size() < (size_t{1} << 20)) text += unit;
    for (size_t i = 0; i < templates.size(); ++i) {
      double begin = cpu_seconds();
      try {
        templates[i]->render(user(text));
      } catch (const Error& error) {  // a template may want other messages, or exceed its output's limit
        EXPECT_NE(std::string(error.what()), "");
      }
      EXPECT_LT(cpu_seconds() - begin, 5) << i;
    }
  }
}

TEST(ChatTemplate, BuiltinsRenderAndStop) {
  Json messages = {{{"role", "user"}, {"content", "Hi"}},
                   {{"role", "assistant"}, {"content", "Yo"}},
                   {{"role", "user"}, {"content", Json::array({{{"type", "text"}, {"text", "Bye"}}})}}};
  for (const std::string& name : list_builtin_chat_templates()) {
    auto t = builtin_chat_template(name, "<s>", "</s>");
    MarkedText out = t->render(messages);
    EXPECT_THAT(out.text, HasSubstr("Hi")) << name;
    bool plain = name == "base" || name == "llama" || name == "puyu";  // no text between the turns
    EXPECT_EQ(out.input.size(), plain ? 1u : 3u) << name << ": " << out.text;
  }
  EXPECT_EQ(
      builtin_chat_template("vicuna", "<s>", "</s>")->render(messages).text,
      "<s>A chat between a curious user and an artificial intelligence assistant. The assistant gives "
      "helpful, "
      "detailed, and polite answers to the user's questions. USER: Hi ASSISTANT: Yo</s>USER: Bye ASSISTANT:");
  EXPECT_EQ(builtin_chat_template("llama2", "<s>", "</s>")->render(messages).text,
            "<s>[INST] Hi [/INST] Yo</s><s>[INST] Bye [/INST]");
  EXPECT_THAT(
      builtin_chat_template("internlm2", "<s>", "</s>")->render(messages).text,
      ::testing::AllOf(
          ::testing::StartsWith("<s><|im_start|>system\nYou are an AI assistant whose name is InternLM"),
          ::testing::EndsWith("<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n")));
  EXPECT_THAT(builtin_chat_template("internlm2", "", "")->stop_words(),
              ::testing::ElementsAre("<|im_end|>", "<|action_end|>"));
  EXPECT_THROW(builtin_chat_template("nope", "", ""), Error);
}

// Every name that `lmdeploy list` of 0.3.0 prints, and the older ones that it still takes.
TEST(ChatTemplate, KnowsLmdeploysNames) {
  const std::vector<std::string> names = list_builtin_chat_templates();
  for (const char* name : {"baichuan2",   "chatglm", "codellama", "dbrx",     "deepseek",  "deepseek-coder",
                           "deepseek-vl", "falcon",  "gemma",     "internlm", "internlm2", "llama",
                           "llama2",      "mistral", "mixtral",   "puyu",     "qwen",      "solar",
                           "ultracm",     "ultralm", "vicuna",    "wizardlm", "yi",        "yi-vl"})
    EXPECT_THAT(names, ::testing::Contains(name));
  auto render_as = [](const char* name) {
    return load_chat_template(name, "<s>", "</s>")->render(user("Hi")).text;
  };
  EXPECT_EQ(render_as("internlm2-chat-1_8b"), render_as("internlm2"));
  EXPECT_EQ(render_as("Mixtral-8x7B-Instruct"), "<s>[INST] Hi [/INST]");
  EXPECT_EQ(render_as("internlm2-20b"), "<s>Hi");
  EXPECT_EQ(render_as("ultralm"),
            "<s>User: A one-turn chat between a curious user and an artificial intelligence assistant. The "
            "assistant "
            "gives helpful, very detailed, and polite answers to the user's questions.</s>\nUser: "
            "Hi</s>\nAssistant:");
  EXPECT_THAT(render_as("yi-vl"), ::testing::EndsWith("礼貌的回答。\n\n### Human: Hi\n### Assistant:"));
  EXPECT_THAT(render_as("dbrx"),
              ::testing::HasSubstr("USER\\'S QUERY.<|im_end|>\n<|im_start|>user\nHi<|im_end|>"));
}

TEST(ChatTemplate, LoadsNameFileOrJson) {
  EXPECT_EQ(load_chat_template("chatml", "", "")->render(user("a")).text,
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n");
  const char* config =
      R"({"model_name": "own", "system": "S:", "meta_instruction": "be 'good'\n\\", "eosys": ";", "user": "U:",
          "eoh": ";", "assistant": "A: ", "eoa": ".", "separator": "|", "capability": "chat", "stop_words": ["U:"]})";
  auto t = load_chat_template(config, "", "");
  Json messages = {{{"role", "user"}, {"content", "x"}},
                   {{"role", "assistant"}, {"content", "y"}},
                   {{"role", "user"}, {"content", "z"}}};
  EXPECT_EQ(t->render(messages).text, "S:be 'good'\n\\;U:x;A: y.|U:z;A:");
  EXPECT_THAT(t->stop_words(), ::testing::ElementsAre("U:"));

  auto folder = std::filesystem::temp_directory_path();
  std::string json_path = (folder / "turgo_chat_template_test.json").string();
  std::ofstream(json_path) << config;
  EXPECT_EQ(load_chat_template(json_path, "", "")->render(messages).text, "S:be 'good'\n\\;U:x;A: y.|U:z;A:");
  std::string jinja_path = (folder / "turgo_chat_template_test.jinja").string();
  std::ofstream(jinja_path) << "{% for m in messages %}<{{ m.content }}>{% endfor %}";
  EXPECT_EQ(load_chat_template(jinja_path, "", "")->render(messages).text, "<x><y><z>");
  std::filesystem::remove(json_path);
  std::filesystem::remove(jinja_path);

  EXPECT_EQ(
      load_chat_template(R"({"model_name": "qwen", "meta_instruction": "Be brief."})", "", "")
          ->render(user("a"))
          .text,
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n");
  for (const char* bad : {"no_such_name", "{\"unknown\": 1}", "{\"user\": 5}", "{\"stop_words\": \"x\"}",
                          "{\"user\": ", "{}x"}) {
    EXPECT_THROW(load_chat_template(bad, "", ""), Error) << bad;
  }
}

}  // namespace
}  // namespace turgo
