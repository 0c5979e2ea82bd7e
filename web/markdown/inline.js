// One block's text -> a flat list of pieces: {text} · {code} · {math, display} · {line} (a line break) and pairs of
// {open: tag, href?} and {close: tag}, properly nested and at most kMaxDepth deep. Emphasis follows CommonMark's
// delimiter stack, with one change: Chinese and Japanese characters may stand beside a mark where CommonMark wants a
// space. Linear in the text: every look ahead has a limit.

const kMaxDepth = 24;
const kMaxFormula = 2000;
const kMaxUrl = 2000;

const kPlain = /[^\\`*_~[\]!$<&\nh]+/y;
const kBareUrl = /https?:\/\/[^\s<>"`\u3000-\u303f\uff00-\uffef]{1,2000}/y;
const kAngleUrl = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/y;
const kBreakTag = /<br ?\/?>/iy;
const kEntity = /&(amp|lt|gt|quot|apos|nbsp|#\d{1,7});/y;
const kEntities = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' };
const kPunctuation = /[\p{P}\p{S}]/u;
const kWide = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\u3000-\u303f\uff00-\uffef]/u;

const isSpace = c => c === '' || /\s/.test(c);

// The address if a link may lead there, else null. Relative ones may not: they would call this server.
export function safeUrl(text) {
  let url;
  try { url = new URL(text); } catch { return null; }
  return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
}

class InlineReader {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.pieces = [];
    this.marks = [];     // indices of pieces that are runs of * _ ~~
    this.brackets = [];  // {piece, mark count, image, active} of each [ that may begin a link
    this.ticks = null;   // length of a run of backticks -> where such runs stand
  }

  add(piece) { this.pieces.push(piece); }

  addText(text) {
    const last = this.pieces[this.pieces.length - 1];
    if (last && last.text !== undefined && !last.bracket) last.text += text;
    else this.add({ text });
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at += found[0].length;
    return found;
  }

  read() {
    while (this.at < this.text.length) {
      const plain = this.match(kPlain);
      if (plain) this.addText(plain[0]);
      else this.readSpecial(this.text[this.at]);
    }
    this.pair(0);
    return flatten(this.pieces);
  }

  readSpecial(c) {
    const { text, at } = this;
    switch (c) {
      case '\\': return this.readEscape();
      case '`': return this.readCode();
      case '*': case '_': case '~': return this.readMark(c);
      case '$': return this.readDollar();
      case '[': return this.openBracket(false);
      case ']': return this.closeBracket();
      case '!': return text[at + 1] === '[' ? this.openBracket(true) : this.takeChar();
      case '\n': this.at++; return this.add({ line: true });
      case '&': {
        const entity = this.match(kEntity);
        if (!entity) return this.takeChar();
        const name = entity[1];
        const code = name[0] === '#' ? Number(name.slice(1)) : 0;
        return this.addText(code > 0 && code < 0x110000 ? String.fromCodePoint(code) : kEntities[name] ?? entity[0]);
      }
      case '<': {
        if (this.match(kBreakTag)) return this.add({ line: true });
        const url = this.match(kAngleUrl);
        return url ? this.addLink(url[1], url[1], url[0]) : this.takeChar();
      }
      default: return this.readBareUrl();
    }
  }

  takeChar() { this.addText(this.text[this.at++]); }

  addLink(label, address, source) {
    const href = safeUrl(address);
    if (!href) return this.addText(source);
    this.add({ open: 'a', href });
    this.add({ text: label });
    return this.add({ close: 'a' });
  }

  readBareUrl() {
    const before = this.text[this.at - 1] ?? '';
    const found = /[\p{L}\p{N}_/]/u.test(before) && !kWide.test(before) ? null : this.match(kBareUrl);
    if (!found) return this.takeChar();
    let url = found[0].replace(/[.,;:!?'*_~]+$/, '');
    let open = 0;
    for (const c of url) open += c === '(' ? 1 : c === ')' ? -1 : 0;
    while (open < 0 && url.endsWith(')')) { url = url.slice(0, -1); ++open; }
    this.at += url.length - found[0].length;
    return this.addLink(url, url, url);
  }

  readEscape() {
    const next = this.text[this.at + 1] ?? '';
    if (next === '(' || next === '[') {
      if (this.readFormula(next === '(' ? '\\)' : '\\]', 2, next === '[')) return;
    } else if (next === '\n') {
      this.at += 2;
      return this.add({ line: true });
    } else if (next !== '' && /[!-/:-@[-`{-~]/.test(next)) {
      this.at += 2;
      return this.addText(next);
    }
    this.takeChar();
  }

  readFormula(close, skip, display) {
    const begin = this.at + skip;
    const end = this.text.slice(begin, begin + kMaxFormula).indexOf(close);
    if (end <= 0) return false;
    this.add({ math: this.text.slice(begin, begin + end).trim(), display });
    this.at = begin + end + close.length;
    return true;
  }

  // $x$: no space inside of the marks, no digit behind them, so that prices stay prices.
  readDollar() {
    const { text, at } = this;
    if (text[at + 1] === '$') {
      if (this.readFormula('$$', 2, true)) return;
      this.at += 2;
      return this.addText('$$');
    }
    const stop = Math.min(text.length, at + kMaxFormula);
    if (at + 1 < text.length && !isSpace(text[at + 1])) {
      for (let end = at + 1; end < stop; ++end) {
        if (text[end] === '\\') { ++end; continue; }
        if (text[end] !== '$') continue;
        if (isSpace(text[end - 1]) || end === at + 1) break;
        if (/[0-9]/.test(text[end + 1] ?? '')) break;
        this.add({ math: text.slice(at + 1, end), display: false });
        this.at = end + 1;
        return;
      }
    }
    this.takeChar();
  }

  readCode() {
    const run = /`+/y;
    run.lastIndex = this.at;
    const length = run.exec(this.text)[0].length;
    if (!this.ticks) {
      this.ticks = new Map();
      for (const found of this.text.matchAll(/`+/g)) {
        if (!this.ticks.has(found[0].length)) this.ticks.set(found[0].length, { next: 0, places: [] });
        this.ticks.get(found[0].length).places.push(found.index);
      }
    }
    const known = this.ticks.get(length);
    while (known && known.next < known.places.length && known.places[known.next] <= this.at) known.next++;
    const close = known?.places[known.next];
    const begin = this.at + length;
    if (close === undefined) {
      this.addText('`'.repeat(length));
      this.at = begin;
      return;
    }
    let code = this.text.slice(begin, close).replaceAll('\n', ' ');
    if (code.startsWith(' ') && code.endsWith(' ') && code.trim() !== '') code = code.slice(1, -1);
    this.add({ code });
    this.at = close + length;
  }

  readMark(c) {
    const { text, at } = this;
    let end = at;
    while (text[end] === c) ++end;
    const length = end - at;
    this.at = end;
    if (c === '~' && length !== 2) return this.addText(text.slice(at, end));
    const before = text[at - 1] ?? '';
    const after = text[end] ?? '';
    const [mark, wideBefore, wideAfter] = [kPunctuation, kWide.test(before), kWide.test(after)];
    const left = !isSpace(after) && (!mark.test(after) || isSpace(before) || mark.test(before) || wideBefore);
    const right = !isSpace(before) && (!mark.test(before) || isSpace(after) || mark.test(after) || wideAfter);
    const opens = c === '_' ? left && (!right || mark.test(before)) : left;
    const closes = c === '_' ? right && (!left || mark.test(after)) : right;
    this.marks.push(this.pieces.length);
    this.add({ mark: c, length, original: length, opens, closes, before: [], after: [] });
  }

  // CommonMark's process_emphasis over the marks from `bottom` on.
  pair(bottom) {
    const { marks, pieces } = this;
    const floors = new Map(); // kind of closer -> below it no opener for that kind stands
    const stack = [];
    for (let m = bottom; m < marks.length; ++m) {
      const closer = pieces[marks[m]];
      while (closer.closes && closer.length > 0) {
        const kind = closer.mark + (closer.opens ? 'o' : '') + closer.original % 3;
        const floor = floors.get(kind) ?? 0;
        let s = stack.length - 1;
        for (; s >= floor; --s) {
          const opener = stack[s];
          const isThree = (opener.closes || closer.opens) && (opener.original + closer.original) % 3 === 0
            && !(opener.original % 3 === 0 && closer.original % 3 === 0);
          if (opener.mark === closer.mark && !(isThree && closer.mark !== '~')) break;
        }
        if (s < floor) { floors.set(kind, stack.length); break; }
        const opener = stack[s];
        const width = closer.mark === '~' ? 2 : opener.length >= 2 && closer.length >= 2 ? 2 : 1;
        const tag = closer.mark === '~' ? 'del' : width === 2 ? 'strong' : 'em';
        opener.length -= width;
        closer.length -= width;
        opener.after.unshift({ open: tag });
        closer.before.push({ close: tag });
        stack.length = opener.length > 0 ? s + 1 : s;
        for (const [key, value] of floors) if (value > stack.length) floors.set(key, stack.length);
      }
      if (closer.opens && closer.length > 0) stack.push(closer);
    }
    marks.length = bottom;
  }

  openBracket(image) {
    this.brackets.push({ piece: this.pieces.length, bottom: this.marks.length, image, active: true });
    this.add({ text: image ? '![' : '[', bracket: true });
    this.at += image ? 2 : 1;
    if (this.brackets.length > 1000) this.brackets.shift();
  }

  closeBracket() {
    const bracket = this.brackets.pop();
    const target = bracket && bracket.active ? this.readTarget() : null;
    if (!target) return this.takeChar();
    this.pair(bracket.bottom);
    this.pieces[bracket.piece] = { open: bracket.image ? 'picture' : 'a', href: safeUrl(target) };
    this.add({ close: bracket.image ? 'picture' : 'a' });
    if (!bracket.image) for (const outer of this.brackets) outer.active = outer.active && outer.image;
  }

  // "(address "title")" behind a ]; moves on only if it is one.
  readTarget() {
    const { text } = this;
    if (text[this.at + 1] !== '(') return null;
    const found = /^\(\s*(?:<([^<>\n]*)>|([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*))(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/
      .exec(text.slice(this.at + 1, this.at + 1 + kMaxUrl));
    if (!found) return null;
    this.at += 1 + found[0].length;
    return found[1] ?? found[2];
  }
}

// Marks become the tags that they were paired to and, where they were not, text; too deep tags are left out.
function flatten(pieces) {
  const out = [];
  let depth = 0;
  const dropped = []; // for each open tag whether it was left out
  const emit = piece => {
    if (piece.open) {
      const isDropped = ++depth > kMaxDepth;
      dropped.push(isDropped);
      if (isDropped) return;
    } else if (piece.close) {
      --depth;
      if (dropped.pop()) return;
    }
    const last = out[out.length - 1];
    if (piece.text !== undefined && last && last.text !== undefined) last.text += piece.text;
    else out.push(piece.text !== undefined ? { text: piece.text } : piece);
  };
  for (const piece of pieces) {
    if (!piece.mark) { emit(piece); continue; }
    piece.before.forEach(emit);
    if (piece.length > 0) emit({ text: piece.mark.repeat(piece.length) });
    piece.after.forEach(emit);
  }
  return out;
}

export function parseInline(text) {
  return new InlineReader(text).read();
}
