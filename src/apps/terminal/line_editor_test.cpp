#include "apps/terminal/line_editor.h"

#include <gtest/gtest.h>

#include "apps/terminal/display_width.h"

namespace turgo {
namespace {

using Action = LineEditor::Action;

// Types bytes as a terminal would send them; returns the last action that was not kNone.
Action type(LineEditor& editor, std::string_view bytes) {
  KeyDecoder decoder;
  Action last = Action::kNone;
  for (const Key& key : decoder.feed(bytes))
    if (Action action = editor.apply(key); action != Action::kNone) last = action;
  EXPECT_FALSE(decoder.waiting());
  return last;
}

std::string typed(std::string_view bytes) {
  LineEditor editor;
  type(editor, bytes);
  return editor.text();
}

const std::string kLeft = "\x1b[D", kRight = "\x1b[C", kUp = "\x1b[A", kDown = "\x1b[B";

TEST(LineEditor, EditsInTheMiddle) {
  EXPECT_EQ(typed("helo" + kLeft + "l"), "hello");
  EXPECT_EQ(typed("hello\x7f\x7fp"), "help");
  EXPECT_EQ(typed("abc\x01X\x05Y"), "XabcY");
  EXPECT_EQ(typed("abc\x1b[HX\x1b[FY"), "XabcY");
  EXPECT_EQ(typed("abc\x1b[1~X\x1b[4~Y"), "XabcY");
  EXPECT_EQ(typed("abc\x1bOHX\x1bOFY"), "XabcY");
  EXPECT_EQ(typed("abc" + kLeft + kLeft + "\x1b[3~"), "ac");
  EXPECT_EQ(typed("\x7f" + kLeft + kRight + "a"), "a");
}

TEST(LineEditor, WideCharactersMoveAndDeleteWhole) {
  EXPECT_EQ(typed("请给我讲\x7f" + kLeft + "再"), "请给再我");
  EXPECT_EQ(typed("你好世界" + kLeft + kLeft + "\x7f"), "你世界");
  EXPECT_EQ(typed("e\xcc\x81x" + kLeft + "\x7f"), "x");           // e + combining acute is one step
  EXPECT_EQ(typed("👨‍👩‍👧x" + kLeft + "\x7f"), "x");  // a family joined by U+200D is one too
}

TEST(LineEditor, KillsAndYanks) {
  EXPECT_EQ(typed("one two three\x17"), "one two ");
  EXPECT_EQ(typed("one two\x01\x0b"), "");
  EXPECT_EQ(typed("one two\x1b"
                  "b\x0b\x19\x19"),
            "one twotwo");
  EXPECT_EQ(typed("one two" + kLeft + "\x15"), "o");
  EXPECT_EQ(typed("one two\x1b[1;5DX"), "one Xtwo");
}

TEST(LineEditor, HistoryKeepsTheDraft) {
  LineEditor editor;
  for (const char* line : {"first", "second", "second", ""}) {
    EXPECT_EQ(type(editor, std::string(line) + "\r"), Action::kSubmit);
    EXPECT_EQ(editor.take_line(), line);
  }
  type(editor, "draft" + kUp);
  EXPECT_EQ(editor.text(), "second");
  type(editor, kUp + kUp + kUp);
  EXPECT_EQ(editor.text(), "first");
  type(editor, kDown + kDown + kDown);
  EXPECT_EQ(editor.text(), "draft");
}

TEST(LineEditor, ControlKeysAct) {
  LineEditor editor;
  EXPECT_EQ(type(editor, "\x03"), Action::kInterrupt);
  EXPECT_EQ(type(editor, "\x04"), Action::kEndOfInput);
  EXPECT_EQ(type(editor, "ab\x01\x04"), Action::kNone);
  EXPECT_EQ(editor.text(), "b");
  EXPECT_EQ(type(editor, "\x1a"), Action::kSuspend);
  EXPECT_EQ(type(editor, "\x0c"), Action::kClearScreen);
}

TEST(KeyDecoder, PasteIsOneTextAndSendsNothing) {
  KeyDecoder decoder;
  auto keys = decoder.feed("\x1b[200~one\r\ntwo\n\n\x1b[31mthree\tx\xff\x1b[201~!");
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].text, "one\ntwo\n\n[31mthree    x");
  EXPECT_EQ(keys[1].text, "!");
}

TEST(KeyDecoder, CutAnywhereGivesTheSameKeys) {
  const std::string bytes =
      "a请\x1b[1;5D\x1b[200~x\ny\x1b[201~\x1bOA👍\xff\xe8\xaf"
      "b\r";
  auto flat = [](const std::vector<Key>& keys) {
    std::string out;
    for (const Key& key : keys) out += std::to_string(static_cast<int>(key.kind)) + key.text + "|";
    return out;
  };
  KeyDecoder whole;
  const std::string expected = flat(whole.feed(bytes));
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    KeyDecoder decoder;
    std::string got = flat(decoder.feed(bytes.substr(0, cut)));
    got += flat(decoder.feed(bytes.substr(cut)));
    EXPECT_EQ(got, expected) << "cut at " << cut;
  }
}

TEST(KeyDecoder, LoneEscapeDoesNothing) {
  KeyDecoder decoder;
  EXPECT_TRUE(decoder.feed("\x1b").empty());
  EXPECT_TRUE(decoder.waiting());
  decoder.time_out();
  auto keys = decoder.feed("b");
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(keys[0].text, "b");
}

// A small terminal: enough to see where render_line leaves text and cursor.
struct Screen {
  int columns, row = 0, column = 0;
  std::vector<std::string> rows{""};

  void write(std::string_view out) {
    for (size_t i = 0; i < out.size();) {
      if (out[i] == '\r') {
        column = 0;
        ++i;
      } else if (out[i] == '\n') {
        if (++row == static_cast<int>(rows.size())) rows.emplace_back();
        ++i;
      } else if (out[i] == '\x1b') {
        size_t end = out.find_first_of("ACJ", i);
        int n = end == i + 2 ? 1 : std::stoi(std::string(out.substr(i + 2, end - i - 2)));
        if (out[end] == 'A') row -= n;
        if (out[end] == 'C') column += n;
        if (out[end] == 'J') rows.resize(static_cast<size_t>(row) + 1), rows.back() = "";
        i = end + 1;
      } else {
        size_t end = next_grapheme(out, i);
        rows[static_cast<size_t>(row)] += out.substr(i, end - i);
        column += grapheme_width(out.substr(i, end - i));
        EXPECT_LE(column, columns);
        i = end;
      }
    }
  }
};

TEST(RenderLine, WrapsWideCharactersAndFindsTheCursor) {
  LineEditor editor;
  Screen screen{10};
  int row = 0;
  auto show = [&](std::string_view keys) {
    type(editor, keys);
    screen.write(render_line(">>> ", editor, screen.columns, row));
  };
  show("abc");
  EXPECT_EQ(screen.rows, (std::vector<std::string>{">>> abc"}));
  EXPECT_EQ(screen.column, 7);
  show("请给我");  // 7 + 2 fits; the next one would straddle column 10
  EXPECT_EQ(screen.rows, (std::vector<std::string>{">>> abc请", "给我"}));
  EXPECT_EQ(screen.row, 1);
  EXPECT_EQ(screen.column, 4);
  show(kLeft + kLeft + kLeft);
  EXPECT_EQ(screen.row, 0);
  EXPECT_EQ(screen.column, 7);
  show(
      "\x15\x0b"
      "123456");  // exactly full: the cursor waits on the next row
  EXPECT_EQ(screen.rows, (std::vector<std::string>{">>> 123456", ""}));
  EXPECT_EQ(screen.row, 1);
  EXPECT_EQ(screen.column, 0);
  show("\x1b[200~\nx\x1b[201~");
  EXPECT_EQ(screen.rows.back(), "x");
}

}  // namespace
}  // namespace turgo
