// Light colouring of code: comments, strings, numbers, keywords, calls. One pass with one pattern per family of
// languages; what it does not know stays plain.
import { h } from '../dom.js';

const kMaxLength = 50_000;

const words = text => new Set(text.split(' '));

const kSlash = String.raw`\/\/[^\n]*|\/\*[^]*?(?:\*\/|$)`;
const kHash = String.raw`#[^\n]*`;
const kQuotes = String.raw`"(?:[^"\\\n]|\\[^])*"?|'(?:[^'\\\n]|\\[^])*'?`;
const kNumber = String.raw`\b(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)\w*`;
const kWord = String.raw`[A-Za-z_$][\w$]*`;

function family(comment, string, keywords, literals = '') {
  const pattern = new RegExp(`(${comment})|(${string})|(${kNumber})|(${kWord})|[^]`, 'g');
  return { pattern, keywords: words(keywords), literals: words(literals) };
}

const kC = family(kSlash, kQuotes,
  'alignas auto break case catch class co_await co_return co_yield concept const constexpr continue decltype default '
  + 'delete do else enum explicit export extern final for friend goto if inline namespace new noexcept operator override '
  + 'private protected public requires return sizeof static struct switch template this throw try typedef typename union '
  + 'using virtual volatile while abstract extends implements import package interface instanceof super synchronized '
  + 'throws var val fun when object func let guard where record sealed foreach in out ref async await yield is as',
  'true false null nullptr nil void bool char int long short float double unsigned signed size_t string String Integer');
const kJs = family(kSlash, kQuotes + String.raw`|` + '`(?:[^`\\\\]|\\\\[^])*`?',
  'abstract as async await break case catch class const continue debugger default delete do else enum export extends '
  + 'finally for from function get if implements import in instanceof interface let new of private protected public '
  + 'readonly return set static super switch this throw try type typeof var void while with yield',
  'true false null undefined NaN Infinity string number boolean any never unknown');
const kPython = family(kHash, String.raw`[rbfRBF]{0,2}(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|${kQuotes})`,
  'and as assert async await break class continue def del elif else except finally for from global if import in is '
  + 'lambda match nonlocal not or pass raise return try while with yield case',
  'True False None self cls int str float list dict set tuple bool print len range');
const kRust = family(kSlash, String.raw`"(?:[^"\\]|\\[^])*"?|'(?:[^'\\\n]|\\[^]{1,8})'`,
  'as async await break const continue crate dyn else enum extern fn for if impl in let loop match mod move mut pub ref '
  + 'return self Self static struct super trait type unsafe use where while',
  'true false bool char i8 i16 i32 i64 isize u8 u16 u32 u64 usize f32 f64 str String Vec Option Result Some None Ok Err');
const kGo = family(kSlash, kQuotes + '|`[^`]*`?',
  'break case chan const continue default defer else fallthrough for func go goto if import interface map package range '
  + 'return select struct switch type var',
  'true false nil iota bool byte error float32 float64 int int32 int64 rune string uint any make len append');
const kShell = family(String.raw`(?<![\w$])#[^\n]*`, kQuotes + String.raw`|\$\{?[\w@#?*!-]+\}?`,
  'case do done elif else esac fi for function if in local return select then until while export source set unset',
  'cd echo exit sudo apt git cat grep sed awk mkdir rm cp mv python pip npm cmake make curl');
const kSql = family(String.raw`--[^\n]*|\/\*[^]*?(?:\*\/|$)`, kQuotes, '', 'null true false');
kSql.fold = words('select from where and or not insert into values update set delete create table drop alter add primary '
  + 'key foreign references join left right inner outer full on group by order having limit offset union all distinct as '
  + 'in is like between exists case when then else end index view with returning default unique asc desc');
const kData = family(kHash + String.raw`|\/\/[^\n]*`, kQuotes, '', 'true false null yes no on off');
const kCss = family(String.raw`\/\*[^]*?(?:\*\/|$)`, kQuotes, 'important media supports import keyframes root', 'none auto');
const kMarkup = { pattern: /(<!--[^]*?(?:-->|$))|("[^"\n]*"|'[^'\n]*')(?=[^<]{0,300}>)|((?!))|(<\/?[A-Za-z][\w:-]*|\/?>)|[^]/g,
                  keywords: { has: () => true }, literals: new Set() };
const kDiff = { lines: true };

const kLanguages = {
  c: kC, h: kC, cpp: kC, 'c++': kC, cc: kC, cuda: kC, cu: kC, java: kC, kotlin: kC, cs: kC, csharp: kC, swift: kC, php: kC,
  js: kJs, javascript: kJs, jsx: kJs, ts: kJs, typescript: kJs, tsx: kJs, mjs: kJs,
  py: kPython, python: kPython, rust: kRust, rs: kRust, go: kGo, golang: kGo,
  sh: kShell, bash: kShell, shell: kShell, zsh: kShell, console: kShell, dockerfile: kShell, makefile: kShell,
  sql: kSql, json: kData, jsonc: kData, yaml: kData, yml: kData, toml: kData, ini: kData,
  css: kCss, scss: kCss, html: kMarkup, xml: kMarkup, svg: kMarkup, vue: kMarkup, diff: kDiff, patch: kDiff,
};

function classOf(language, match, text) {
  if (match[1] !== undefined) return 'hl-comment';
  if (match[2] !== undefined) return 'hl-string';
  if (match[3] !== undefined) return 'hl-number';
  if (match[4] === undefined) return '';
  const word = match[4];
  if (language.keywords.has(word) || language.fold?.has(word.toLowerCase())) return 'hl-keyword';
  if (language.literals.has(word)) return 'hl-literal';
  return text[match.index + word.length] === '(' ? 'hl-call' : '';
}

function diffNodes(text) {
  const kinds = { '+': 'hl-string', '-': 'hl-removed', '@': 'hl-keyword' };
  return text.split('\n').flatMap((line, i) => {
    const kind = kinds[line[0]];
    return [i ? '\n' : '', kind ? h('span', { class: kind }, line) : line];
  });
}

export function highlight(text, name) {
  const fragment = document.createDocumentFragment();
  const language = kLanguages[name];
  if (!language || text.length > kMaxLength) {
    fragment.append(text);
  } else if (language.lines) {
    fragment.append(...diffNodes(text));
  } else {
    let plain = '';
    for (const match of text.matchAll(language.pattern)) {
      const kind = classOf(language, match, text);
      if (!kind) { plain += match[0]; continue; }
      if (plain) fragment.append(plain);
      plain = '';
      fragment.append(h('span', { class: kind }, match[0]));
    }
    fragment.append(plain);
  }
  return fragment;
}
