// TeX -> MathML elements: the part of TeX's mathematics that models write. What it does not know is shown as its source,
// whole: half a formula would be worse. Depth and size are limited, so a text can neither nest nor grow without end.
import { accents, alphabets, bigOperators, functions, inAlphabet, letters, limitFunctions, operators, spaces,
         underAccents } from './symbols.js';
import { h } from '../dom.js';

const kMaxLength = 5000;
const kMaxDepth = 40;

class TexError extends Error {}

function m(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/1998/Math/MathML', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const row = nodes => (nodes.length === 1 ? nodes[0] : m('mrow', {}, ...nodes));
const kToken = /\\[A-Za-z]+\*?|\\[^]|[0-9]+(?:\.[0-9]+)?|\s+|[^]/gu;
const kClosing = new Set(['}', '&', '\\\\', '\\right', '\\end']);
const kStarred = new Set(['operatorname*']);
const kMatrices = { matrix: ['', ''], pmatrix: ['(', ')'], bmatrix: ['[', ']'], Bmatrix: ['{', '}'], vmatrix: ['|', '|'],
                    Vmatrix: ['‖', '‖'], smallmatrix: ['', ''], array: ['', ''], cases: ['{', ''], rcases: ['', '}'] };
const kAligned = new Set(['aligned', 'align', 'align*', 'alignat', 'alignat*', 'eqnarray', 'split', 'alignedat']);
const kGathered = new Set(['gathered', 'gather', 'gather*', 'equation', 'equation*', 'multline', 'multline*', 'displaymath']);
const kBig = { big: 1.2, Big: 1.8, bigg: 2.4, Bigg: 3 };
const kIgnored = new Set(['displaystyle', 'textstyle', 'scriptstyle', 'limits', 'nolimits', 'notag', 'nonumber', 'hline',
                          'centering', 'allowbreak', 'nobreak', 'strut', 'relax', 'mathstrut', 'left.', 'right.']);

class TexReader {
  constructor(text) {
    this.tokens = text.match(kToken) ?? [];
    this.at = 0;
    this.depth = 0;
    this.alphabet = '';
  }

  skipSpace() { while (/^\s/.test(this.tokens[this.at] ?? 'x')) ++this.at; }
  peek() { this.skipSpace(); return this.tokens[this.at]; }
  next() { this.skipSpace(); return this.tokens[this.at++]; }
  accept(token) {
    if (this.peek() !== token) return false;
    ++this.at;
    return true;
  }
  expect(token) {
    if (!this.accept(token)) throw new TexError(`expected ${token}`);
  }

  // Up to one of `stops`, which stays.
  readRow(stops) {
    if (++this.depth > kMaxDepth) throw new TexError('too deep');
    const nodes = [];
    for (let token = this.peek(); token !== undefined && !stops.includes(token); token = this.peek()) {
      if (kClosing.has(token)) throw new TexError(`unexpected ${token}`);
      const node = this.readScripted();
      if (node) nodes.push(node);
    }
    --this.depth;
    return nodes;
  }

  // {…} or one atom.
  readArgument() {
    if (this.accept('{')) {
      const nodes = this.readRow(['}']);
      this.expect('}');
      return row(nodes);
    }
    const token = this.peek();
    if (token === undefined || token === '}') throw new TexError('an argument is missing');
    // A number without braces gives its first digit: x^10 is x^1 0.
    if (/^\d{2,}/.test(token)) {
      this.tokens[this.at] = token.slice(1);
      return m('mn', {}, token[0]);
    }
    const node = this.readAtom();
    return node ?? this.readArgument();
  }

  // {…} as it stands.
  readRaw() {
    this.expect('{');
    let text = '';
    for (let open = 1; ;) {
      const token = this.tokens[this.at++];
      if (token === undefined) throw new TexError('} is missing');
      open += token === '{' ? 1 : token === '}' ? -1 : 0;
      if (open === 0) return text;
      text += token;
    }
  }

  readOptional() {
    if (!this.accept('[')) return null;
    const nodes = this.readRow([']']);
    this.expect(']');
    return row(nodes);
  }

  readScripted() {
    const token = this.peek();
    const base = token === '^' || token === '_' || token === "'" ? m('mrow') : this.readAtom();
    if (!base) return null;
    let [sub, sup, primes] = [null, null, ''];
    let limits = base.isLimits ?? false;
    for (;;) {
      if (this.accept('\\limits')) limits = true;
      else if (this.accept('\\nolimits')) limits = false;
      else if (this.accept("'")) primes += '′';
      else if (this.peek() === '_' && !sub) { this.next(); sub = this.readArgument(); }
      else if (this.peek() === '^' && !sup) { this.next(); sup = this.readArgument(); }
      else break;
    }
    if (primes) {
      const mark = m('mo', {}, primes);
      sup = sup ? m('mrow', {}, mark, sup) : mark;
    }
    if (!sub && !sup) return base;
    const [over, under, both] = limits ? ['mover', 'munder', 'munderover'] : ['msup', 'msub', 'msubsup'];
    if (sub && sup) return m(both, {}, base, sub, sup);
    return sub ? m(under, {}, base, sub) : m(over, {}, base, sup);
  }

  letter(c) {
    if (this.alphabet === 'roman') return m('mi', { mathvariant: 'normal' }, c);
    return m('mi', {}, this.alphabet ? inAlphabet(c, this.alphabet) : c);
  }

  readAtom() {
    const token = this.next();
    if (token[0] === '\\') return this.readCommand(token.slice(1));
    if (token === '{') {
      const nodes = this.readRow(['}']);
      this.expect('}');
      return row(nodes);
    }
    if (/^\d/.test(token)) return m('mn', {}, [...token].map(c => inAlphabet(c, this.alphabet)).join(''));
    if (/^\p{L}/u.test(token)) return this.letter(token);
    if (token === '~') return m('mspace', { width: '0.333em' });
    if (token === '-') return m('mo', {}, '−');
    if (token === '*') return m('mo', {}, '∗');
    if (token === '%' || token === '#') throw new TexError(token);
    return m('mo', '()[]|/'.includes(token) ? { stretchy: 'false' } : {}, token);
  }

  readCommand(name) {
    if (letters.has(name)) return this.letter(letters.get(name));
    if (bigOperators.has(name)) {
      const [c, limits] = bigOperators.get(name);
      const node = m('mo', limits ? { movablelimits: 'true' } : {}, c);
      node.isLimits = limits;
      return node;
    }
    if (limitFunctions.has(name)) return this.functionNode(limitFunctions.get(name), true);
    if (functions.has(name)) return this.functionNode(name, false);
    if (operators.has(name)) return m('mo', { stretchy: 'false' }, operators.get(name));
    if (spaces.has(name)) return m('mspace', { width: `${spaces.get(name)}em` });
    if (accents.has(name)) return this.readAccent(...accents.get(name));
    if (underAccents.has(name)) {
      const node = m('munder', {}, this.readArgument(), m('mo', { stretchy: 'true' }, underAccents.get(name)));
      node.isLimits = name === 'underbrace';
      return node;
    }
    if (alphabets.has(name)) return this.readInAlphabet(alphabets.get(name));
    if (kIgnored.has(name)) return null;
    return this.readStructure(name);
  }

  functionNode(text, limits) {
    const node = m('mrow', {}, m('mi', { mathvariant: 'normal' }, text), m('mspace', { width: '0.1667em' }));
    if (!limits) return node;
    const name = m('mo', { movablelimits: 'true', lspace: '0', rspace: '0.1667em' }, text);
    name.isLimits = true;
    return name;
  }

  readAccent(c, stretchy) {
    const node = m('mover', { accent: 'true' }, this.readArgument(), m('mo', { stretchy: String(stretchy) }, c));
    node.isLimits = c === '⏞';
    return node;
  }

  readInAlphabet(alphabet) {
    const before = this.alphabet;
    this.alphabet = alphabet;
    const node = this.readArgument();
    this.alphabet = before;
    return node;
  }

  readStructure(name) {
    switch (name) {
      case 'frac': case 'dfrac': case 'tfrac': case 'cfrac':
        return m('mfrac', name === 'dfrac' ? { displaystyle: 'true' } : {}, this.readArgument(), this.readArgument());
      case 'binom': case 'dbinom': case 'tbinom':
        return this.fenced('(', [m('mfrac', { linethickness: '0' }, this.readArgument(), this.readArgument())], ')');
      case 'sqrt': {
        const degree = this.readOptional();
        return degree ? m('mroot', {}, this.readArgument(), degree) : m('msqrt', {}, this.readArgument());
      }
      case 'text': case 'textrm': case 'textbf': case 'textit': case 'textsf': case 'texttt': case 'mbox': case 'hbox': {
        const text = m('mtext', {}, this.readRaw().replaceAll(/\$|\\(?=[%&_#$])/g, '').replaceAll(' ', '\u00a0'));
        if (name === 'textbf') text.setAttribute('class', 'bold');
        return text;
      }
      case 'operatorname': case 'operatorname*':
        return this.functionNode(this.readRaw().replaceAll(/\\[,;! ]?/g, ''), kStarred.has(name));
      case 'left': return this.readLeft();
      case 'middle': return m('mo', { stretchy: 'true', fence: 'true' }, this.readDelimiter());
      case 'begin': return this.readEnvironment();
      case 'overset': case 'stackrel': {
        const over = this.readArgument();
        return m('mover', {}, this.readArgument(), over);
      }
      case 'underset': {
        const under = this.readArgument();
        return m('munder', {}, this.readArgument(), under);
      }
      case 'xrightarrow': case 'xleftarrow': {
        const below = this.readOptional();
        const arrow = m('mo', { stretchy: 'true', minsize: '2em' }, name === 'xrightarrow' ? '→' : '←');
        const above = m('mpadded', { width: '+0.8em', lspace: '0.4em' }, this.readArgument());
        return below ? m('munderover', {}, arrow, below, above) : m('mover', {}, arrow, above);
      }
      case 'not': {
        const token = this.next() ?? '';
        return m('mo', {}, (operators.get(token.slice(1)) ?? token) + '\u0338');
      }
      case 'pmod': return m('mrow', {}, m('mspace', { width: '0.6em' }), ...this.parenthesised('mod'));
      case 'bmod': case 'mod': return m('mo', { lspace: '0.222em', rspace: '0.222em' }, 'mod');
      case 'boxed': return m('mrow', { class: 'boxed' }, this.readArgument());
      case 'phantom': return m('mphantom', {}, this.readArgument());
      case 'color': this.readRaw(); return null;
      case 'textcolor': this.readRaw(); return this.readArgument();
      case 'tag': return m('mrow', {}, m('mspace', { width: '2em' }), m('mtext', {}, `(${this.readRaw()})`));
      case 'label': this.readRaw(); return null;
      default: return this.readSized(name);
    }
  }

  // \big( … \Biggr]
  readSized(name) {
    const size = kBig[name] ?? kBig[name.slice(0, -1)];
    if (!size || !(name in kBig || 'lrm'.includes(name.at(-1)))) throw new TexError(`\\${name} is unknown`);
    return m('mo', { minsize: `${size}em`, maxsize: `${size}em`, stretchy: 'true' }, this.readDelimiter());
  }

  parenthesised(word) {
    return [m('mo', {}, '('), m('mi', { mathvariant: 'normal' }, word), m('mspace', { width: '0.333em' }), this.readArgument(),
      m('mo', {}, ')')];
  }

  fenced(open, nodes, close) {
    const fence = c => (c ? [m('mo', { fence: 'true', stretchy: 'true', symmetric: 'true' }, c)] : []);
    return m('mrow', {}, ...fence(open), ...nodes, ...fence(close));
  }

  readDelimiter() {
    const token = this.next();
    if (token === undefined) throw new TexError('a delimiter is missing');
    if (token === '.') return '';
    if (token === '<') return '⟨';
    if (token === '>') return '⟩';
    return token[0] === '\\' ? operators.get(token.slice(1)) ?? '' : token;
  }

  readLeft() {
    const open = this.readDelimiter();
    const nodes = this.readRow(['\\right']);
    this.expect('\\right');
    return this.fenced(open, nodes, this.readDelimiter());
  }

  readEnvironment() {
    const name = this.readRaw();
    const isAligned = kAligned.has(name);
    if (!isAligned && !kGathered.has(name) && !(name in kMatrices)) throw new TexError(`${name} is unknown`);
    let columns = '';
    if (['array', 'alignat', 'alignat*', 'alignedat'].includes(name)) columns = this.readRaw().replaceAll(/[^lcr]/g, '');
    if (name.includes('cases')) columns = 'll';
    const rows = [[]];
    for (;;) {
      const cell = m('mtd', {}, ...this.readRow(['&', '\\\\', '\\end', '\\cr']));
      const current = rows[rows.length - 1];
      const align = isAligned ? 'rl'[current.length % 2] : columns[current.length] ?? '';
      if (align) cell.setAttribute('class', align);
      current.push(cell);
      const token = this.next();
      if (token === '\\end') break;
      if (token === undefined) throw new TexError('\\end is missing');
      if (token !== '&') {
        if (this.tokens[this.at] === '[') this.readOptional(); // \\[2pt]
        rows.push([]);
      }
    }
    if (this.readRaw() !== name) throw new TexError('\\end of something else');
    const last = rows[rows.length - 1];
    if (rows.length > 1 && last.length === 1 && !last[0].hasChildNodes()) rows.pop();
    const isDisplay = isAligned || kGathered.has(name);
    const style = isDisplay ? { displaystyle: 'true', class: 'aligned' } : {};
    const table = m('mtable', style, ...rows.map(cells => m('mtr', {}, ...cells)));
    const [open, close] = kMatrices[name] ?? ['', ''];
    return open || close ? this.fenced(open, [table], close) : table;
  }
}

// <math> for TeX; its source in <code> where it is too long, broken or more than we know.
export function mathNode(tex, display) {
  try {
    if (tex.length > kMaxLength) throw new TexError('too long');
    const reader = new TexReader(tex);
    const lines = [];
    do lines.push(m('mrow', {}, ...reader.readRow(['\\\\']))); while (reader.next() !== undefined);
    const content = lines.length === 1 ? lines[0] : m('mtable', {}, ...lines.map(line => m('mtr', {}, m('mtd', {}, line))));
    return m('math', { alttext: tex, ...(display ? { display: 'block' } : {}) }, content);
  } catch (error) {
    if (!(error instanceof TexError)) throw error;
    return h('code', { class: 'tex', title: error.message }, tex);
  }
}
