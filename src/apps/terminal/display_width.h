// How text lies on a terminal: UTF-8 characters, grapheme clusters (what one arrow key steps over) and their
// width in columns (a Chinese character takes two).
#pragma once

#include <cstddef>
#include <string_view>

namespace turgo {

// Bytes of the valid UTF-8 character that `text` begins with; 0 if it does not.
size_t utf8_length(std::string_view text);

// End of the grapheme cluster that begins at byte `begin`, and begin of the one that ends at byte `end`.
// Linear in the text.
size_t next_grapheme(std::string_view text, size_t begin);
size_t previous_grapheme(std::string_view text, size_t end);

// Columns of one grapheme cluster: the widest of its characters.
int grapheme_width(std::string_view cluster);

}  // namespace turgo
