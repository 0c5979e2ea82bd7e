// A growing Markdown text in an element. What stands before the last block is never looked at again: an update costs
// the length of the last block. Long texts are shown up to a budget, with a button for more, so that no text, however
// long, makes the page slow.
import { h } from '../dom.js';
import { t, formatBytes } from '../i18n.js';
import { parseBlocks } from './blocks.js';
import { highlight } from './highlight.js';
import { blockNode } from './render.js';

const kBudget = 100_000; // characters that are shown at first and added by each "show more" …
const kLines = 3000;     // … and lines, each of which may be a block;
const kCells = 16;       // one of more cells of a table than these counts as several
const kMaxCells = 64;
const kColoured = 5000;   // characters of code that are coloured anew while they grow

// Cells that a line may become.
function cellsIn(line) {
  let count = 1;
  for (let at = line.indexOf('|'); at >= 0 && count < kMaxCells; at = line.indexOf('|', at + 1)) ++count;
  return count;
}

export class MarkdownView {
  constructor(element) {
    this.element = element;
    this.more = null;
    this.reset();
    this.limit = kBudget;
    this.maxLines = kLines;
  }

  reset() {
    this.element.replaceChildren();
    this.text = '';    // as shown
    this.offset = 0;   // of the first block that is not final
    this.frozen = 0;   // children of `element` that are
    this.last = null;  // {block, node} of an open code block at the end
    this.seen = { at: 0, lines: 0 }; // how far the lines are counted
  }

  // `isFinal`: nothing follows.
  update(text, isFinal) {
    const whole = text;
    if (!text.startsWith(this.text)) this.reset();
    text = text.slice(0, this.cut(text));
    if (!text.startsWith(this.text)) this.reset();
    if (text !== this.text || isFinal || this.element.childNodes.length === 0) this.show(text, isFinal);
    this.text = text;
    this.offerMore(whole, isFinal);
  }

  // The length that is shown: whole lines if an end of one is near.
  cut(text) {
    let { at, lines } = this.seen;
    for (let next = 0; lines < this.maxLines && at < this.limit && (next = text.indexOf('\n', at)) >= 0; at = next + 1)
      lines += Math.ceil(cellsIn(text.slice(at, next)) / kCells);
    this.seen = { at, lines };
    if (lines >= this.maxLines && at < this.limit) return at;
    if (text.length <= this.limit) return text.length;
    const line = text.lastIndexOf('\n', this.limit);
    return line > this.limit * 0.8 ? line : this.limit;
  }

  show(text, isFinal) {
    const lines = text.slice(this.offset).split('\n');
    const blocks = parseBlocks(lines);
    if (this.appendCode(blocks, isFinal)) return;
    while (this.element.childNodes.length > this.frozen) this.element.lastChild.remove();
    const nodes = blocks.map(blockNode);
    this.element.append(...nodes);
    const final = blocks[blocks.length - 1];
    const isOpen = final && final.type === 'code' && !final.closed && !isFinal;
    this.last = isOpen ? { block: final, node: nodes[nodes.length - 1] } : null;
    // A block is final when another one began on a whole line: the last line may still become part of it.
    let keep = blocks.length - 1;
    if (final && final.start === lines.length - 1) --keep;
    if (keep <= 0) return;
    const begin = blocks[keep].start;
    for (let i = 0; i < begin; ++i) this.offset += lines[i].length + 1;
    this.frozen += keep;
    if (keep < blocks.length - 1) this.last = null;
  }

  // A code block that only grew: its new text is put behind the old one, and coloured when it is whole.
  appendCode(blocks, isFinal) {
    const [block] = blocks;
    if (!this.last || isFinal || blocks.length !== 1 || block.type !== 'code' || block.closed
        || block.language !== this.last.block.language || !block.text.startsWith(this.last.block.text)) return false;
    const added = block.text.slice(this.last.block.text.length);
    const code = this.last.node.querySelector('code');
    if (added && block.text.length < kColoured) code.replaceChildren(highlight(block.text, block.language));
    else if (added) code.append(added);
    this.last.block = block;
    return true;
  }

  offerMore(whole, isFinal) {
    this.more?.remove();
    this.more = null;
    const left = whole.length - this.text.length;
    if (left <= 0) return;
    this.more = h('button', { type: 'button', class: 'more' }, t('show_more', { size: formatBytes(left) }));
    this.more.addEventListener('click', () => {
      this.limit += kBudget;
      this.maxLines += kLines;
      this.update(whole, isFinal);
    });
    this.element.after(this.more);
  }
}
