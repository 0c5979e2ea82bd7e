// Markdown text -> blocks: CommonMark's and GFM's forms that models write, in one pass over the lines per level of
// nesting. HTML is text here. Nothing a text can hold costs more than (its length) x (kMaxDepth).
//
// A block: {type, start, end, …} with the half-open range of its lines, and by type
//   heading {level, text} · paragraph {text} · rule · code {language, text, closed} · math {text, closed}
//   quote {blocks} · list {ordered, first, loose, items: [{blocks, checked}]} · table {align, head, rows}
// A table's rows may be shorter than its head, never longer.

const kMaxDepth = 8; // of quotes and lists in each other; what is deeper is a paragraph
const kMaxColumns = 64;

const kFence = /^( {0,3})(`{3,}|~{3,})[ \t]*([^\n`]*)$/;
const kItem = /^( *)([-*+]|\d{1,9}[.)])( +|$)/;
const kDelimiterRow = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const kRule = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;

const isBlank = line => line.trim() === '';
const isRule = line => line.length < 200 && kRule.test(line);
const indentOf = line => line.length - line.trimStart().length;

function dedent(line, width) {
  return line.slice(Math.min(indentOf(line), width));
}

// Leading tabs as four spaces each.
function expandTabs(line) {
  const indent = /^[ \t]*/.exec(line)[0];
  return indent.includes('\t') ? indent.replaceAll('\t', '    ') + line.slice(indent.length) : line;
}

function headingOf(line) {
  const mark = /^ {0,3}(#{1,6})(?=[ \t]|$)/.exec(line);
  if (!mark) return null;
  let text = line.slice(mark[0].length).trim();
  let end = text.length;
  while (end > 0 && text[end - 1] === '#') --end;
  if (end === 0 || text[end - 1] === ' ') text = text.slice(0, end).trimEnd();
  return { type: 'heading', level: mark[1].length, text };
}

// What ends a paragraph although no blank line stands before it.
function interrupts(line) {
  const indent = indentOf(line);
  if (indent > 3) return false;
  switch (line[indent]) {
    case '#': return headingOf(line) !== null;
    case '>': return true;
    case '`': case '~': return kFence.test(line);
    case '$': return line.startsWith('$$', indent);
    case '\\': return line.startsWith('\\[', indent);
    case '_': return isRule(line);
    case '-': case '*': case '+': return isRule(line) || /^ *[-*+] +\S/.test(line);
    case '1': return /^ *1[.)] +\S/.test(line);
    default: return false;
  }
}

function splitRow(line) {
  let text = line.trim();
  if (text.startsWith('|')) text = text.slice(1);
  const cells = [];
  let cell = '';
  for (let i = 0; i < text.length; ++i) {
    if (text[i] === '\\' && text[i + 1] === '|') cell += text[++i];
    else if (text[i] === '|') { cells.push(cell.trim()); cell = ''; }
    else cell += text[i];
  }
  if (cell.trim() !== '' || !text.endsWith('|')) cells.push(cell.trim());
  return cells;
}

function tableHead(lines, i) {
  if (!lines[i].includes('|') || i + 1 >= lines.length || lines[i].length > 20000) return null;
  if (!kDelimiterRow.test(lines[i + 1])) return null;
  const head = splitRow(lines[i]);
  const marks = splitRow(lines[i + 1]);
  if (head.length !== marks.length || head.length > kMaxColumns) return null;
  const align = marks.map(m => (m.startsWith(':') ? (m.endsWith(':') && m.length > 1 ? 'center' : 'left')
    : m.endsWith(':') ? 'right' : ''));
  return { type: 'table', align, head, rows: [] };
}

// The readers: (lines, i, depth) -> a block with its `end`, or null.

function readCode(lines, i) {
  const open = kFence.exec(lines[i]);
  if (!open) return null;
  const [, indent, fence, info] = open;
  const close = new RegExp(`^ {0,3}${fence[0] === '`' ? '`' : '~'}{${fence.length},}[ \\t]*$`);
  let end = i + 1;
  while (end < lines.length && !(lines[end].length < 200 && close.test(lines[end]))) ++end;
  const text = lines.slice(i + 1, end).map(line => dedent(line, indent.length)).join('\n');
  const closed = end < lines.length;
  return { type: 'code', language: info.trim().split(/\s+/, 1)[0].toLowerCase(), text, closed,
           end: closed ? end + 1 : end };
}

// A formula ends before the next blank line; one that does not is open: it may still come.
function readMath(lines, i) {
  const first = lines[i].trim();
  const marks = first.startsWith('$$') ? '$$' : first.startsWith('\\[') ? '\\]' : null;
  if (!marks) return null;
  const parts = [];
  for (let end = i; end < lines.length && !(end > i && isBlank(lines[end])); ++end) {
    const line = end === i ? first.slice(2) : lines[end];
    const close = line.indexOf(marks);
    if (close < 0) { parts.push(line); continue; }
    if (!isBlank(line.slice(close + 2).replace(/^[.,;:]/, ''))) return null; // text goes on: an inline formula's turn
    parts.push(line.slice(0, close));
    return { type: 'math', text: parts.join('\n').trim(), closed: true, end: end + 1 };
  }
  return { type: 'math', text: [first, ...parts.slice(1)].join('\n'), closed: false, end: i + parts.length };
}

function readIndented(lines, i) {
  if (indentOf(lines[i]) < 4) return null;
  let end = i;
  let last = i;
  for (; end < lines.length && (isBlank(lines[end]) || indentOf(lines[end]) >= 4); ++end)
    if (!isBlank(lines[end])) last = end;
  const text = lines.slice(i, last + 1).map(line => dedent(line, 4)).join('\n');
  return { type: 'code', language: '', text, closed: true, end: last + 1 };
}

function readQuote(lines, i, depth) {
  if (!/^ {0,3}>/.test(lines[i]) || depth >= kMaxDepth) return null;
  const inner = [];
  let end = i;
  for (; end < lines.length && !isBlank(lines[end]); ++end) {
    const mark = /^ {0,3}> ?/.exec(lines[end]);
    if (!mark && interrupts(lines[end])) break;
    inner.push(mark ? lines[end].slice(mark[0].length) : lines[end]);
  }
  return { type: 'quote', blocks: readBlocks(inner, depth + 1), end };
}

const markerKind = marker => marker[marker.length - 1];

// Strict about what is a list, lenient about its indentation: two spaces are enough to stand below an item.
function readList(lines, i, depth) {
  const first = kItem.exec(lines[i]);
  if (!first || first[1].length > 3 || depth >= kMaxDepth) return null;
  const kind = markerKind(first[2]);
  const base = first[1].length;
  const list = { type: 'list', ordered: /\d/.test(first[2]), first: parseInt(first[2], 10) || 0, loose: false, items: [] };
  let end = i;
  while (end < lines.length) {
    const mark = kItem.exec(lines[end]);
    if (!mark || mark[1].length > base + 1 || markerKind(mark[2]) !== kind || isRule(lines[end])) break;
    const width = mark[1].length + mark[2].length + (mark[3].length > 4 ? 1 : Math.max(mark[3].length, 1));
    const inner = [lines[end].slice(Math.min(width, lines[end].length))];
    let next = end + 1;
    let blank = false;
    for (; next < lines.length; ++next) {
      const line = lines[next];
      if (isBlank(line)) { blank = true; inner.push(''); continue; }
      const indent = indentOf(line);
      const isChild = indent >= width || (indent >= base + 2 && (kItem.test(line) || !blank));
      if (!isChild && (blank || kItem.test(line) || interrupts(line))) break;
      inner.push(dedent(line, width));
      blank = false;
    }
    let used = inner.length;
    while (used > 1 && inner[used - 1] === '') --used;
    inner.length = used;
    const task = /^\[([ xX])\] +/.exec(inner[0]);
    if (task) inner[0] = inner[0].slice(task[0].length);
    if (inner.includes('')) list.loose = true;
    list.items.push({ blocks: readBlocks(inner, depth + 1), checked: task ? task[1] !== ' ' : undefined });
    const after = blank && next < lines.length ? kItem.exec(lines[next]) : null;
    if (after && markerKind(after[2]) === kind) list.loose = true;
    end = next;
  }
  while (end > i + 1 && isBlank(lines[end - 1])) --end;
  return { ...list, end };
}

function readTable(lines, i) {
  const table = tableHead(lines, i);
  if (!table) return null;
  let end = i + 2;
  for (; end < lines.length && !isBlank(lines[end]) && lines[end].includes('|'); ++end)
    table.rows.push(splitRow(lines[end]).slice(0, table.head.length));
  return { ...table, end };
}

function readParagraph(lines, i) {
  let end = i + 1;
  for (; end < lines.length && !isBlank(lines[end]); ++end) {
    const underline = /^ {0,3}(={2,}|-{2,})[ \t]*$/.exec(lines[end].slice(0, 200));
    if (underline) {
      const text = lines.slice(i, end).join('\n').trim();
      return { type: 'heading', level: underline[1][0] === '=' ? 1 : 2, text, end: end + 1 };
    }
    if (interrupts(lines[end]) || tableHead(lines, end)) break;
  }
  return { type: 'paragraph', text: lines.slice(i, end).map(line => line.trimStart()).join('\n').trimEnd(), end };
}

function readBlock(lines, i, depth) {
  const line = lines[i];
  const heading = headingOf(line);
  if (heading) return { ...heading, end: i + 1 };
  if (isRule(line)) return { type: 'rule', end: i + 1 };
  return readCode(lines, i) ?? readMath(lines, i) ?? readQuote(lines, i, depth) ?? readList(lines, i, depth)
    ?? readIndented(lines, i) ?? readTable(lines, i) ?? readParagraph(lines, i);
}

function readBlocks(lines, depth) {
  const blocks = [];
  for (let i = 0; i < lines.length;) {
    if (isBlank(lines[i])) { ++i; continue; }
    const block = readBlock(lines, i, depth);
    block.start = i;
    blocks.push(block);
    i = block.end;
  }
  return blocks;
}

// `lines` of one text, without their line feeds.
export function parseBlocks(lines) {
  return readBlocks(lines.map(expandTabs), 0);
}
