// Blocks -> DOM nodes, made one by one: no text is ever parsed as HTML, no link leads elsewhere than to http, https or
// mail, nothing is loaded from anywhere (a picture is shown as a link to it).
import { copyText, h } from '../dom.js';
import { icon } from '../icons.js';
import { t } from '../i18n.js';
import { highlight } from './highlight.js';
import { parseInline } from './inline.js';
import { mathNode } from '../math/mathml.js';

const kMaxInline = 20000; // characters; a longer paragraph is shown as it stands
const kTopHeading = 3;    // the page has h1 and h2

function openTag(piece) {
  if (piece.open !== 'a' && piece.open !== 'picture') return h(piece.open);
  const node = piece.href ? h('a', { href: piece.href, target: '_blank', rel: 'noopener noreferrer nofollow' })
    : h('span', { class: 'dead-link', title: t('link_refused') });
  if (piece.open === 'picture') {
    node.classList.add('picture');
    node.append(icon('image'));
  }
  return node;
}

export function inlineNodes(text) {
  const fragment = document.createDocumentFragment();
  if (text.length > kMaxInline) {
    fragment.append(text);
    return fragment;
  }
  const open = [fragment];
  for (const piece of parseInline(text)) {
    const parent = open[open.length - 1];
    if (piece.open) {
      const node = openTag(piece);
      parent.append(node);
      open.push(node);
    } else if (piece.close) open.pop();
    else if (piece.text !== undefined) parent.append(piece.text);
    else if (piece.code !== undefined) parent.append(h('code', {}, piece.code));
    else if (piece.math !== undefined) parent.append(mathNode(piece.math, piece.display));
    else parent.append(h('br'));
  }
  return fragment;
}

function copyButton(text) {
  const button = h('button', { type: 'button', class: 'quiet copy' }, icon('copy'), h('span', {}, t('copy')));
  button.addEventListener('click', async () => {
    const label = button.lastChild;
    try {
      await copyText(text());
      label.textContent = t('copied');
    } catch {
      label.textContent = t('copy_failed');
    }
    setTimeout(() => { label.textContent = t('copy'); }, 1500);
  });
  return button;
}

function codeNode(block) {
  const code = h('code');
  code.append(highlight(block.text, block.language));
  const name = block.language || t('code');
  return h('div', { class: 'code' },
    h('div', { class: 'code-head' }, h('span', {}, name), copyButton(() => code.textContent)),
    h('pre', { tabindex: '0', role: 'group', 'aria-label': t('code_in', { language: name }) }, code));
}

function listNode(block) {
  const list = h(block.ordered ? 'ol' : 'ul', { class: block.loose ? 'loose' : null });
  if (block.ordered && block.first !== 1) list.start = block.first;
  for (const item of block.items) {
    const li = h('li');
    if (item.checked !== undefined) {
      li.classList.add('task');
      li.append(h('span', { class: 'tick', role: 'img', 'aria-label': t(item.checked ? 'done' : 'to_do') },
        item.checked ? '☑' : '☐'), ' ');
    }
    for (const inner of item.blocks)
      li.append(inner.type === 'paragraph' && !block.loose ? inlineNodes(inner.text) : blockNode(inner));
    list.append(li);
  }
  return list;
}

function tableNode(block) {
  // What a short row lacks is one cell, so that no more cells are made than the text has.
  const rest = cells => {
    const lacking = block.head.length - cells.length;
    return lacking > 0 ? h('td', { colspan: String(lacking) }) : null;
  };
  const row = (cells, tag) => h('tr', {}, ...cells.map((cell, i) =>
    h(tag, { class: block.align[i] || null, scope: tag === 'th' ? 'col' : null }, inlineNodes(cell))), rest(cells));
  return h('div', { class: 'table', tabindex: '0', role: 'group', 'aria-label': t('table') },
    h('table', {}, h('thead', {}, row(block.head, 'th')), h('tbody', {}, ...block.rows.map(cells => row(cells, 'td')))));
}

export function blockNode(block) {
  switch (block.type) {
    case 'heading': return h('h' + Math.min(6, block.level + kTopHeading - 1), {}, inlineNodes(block.text));
    case 'rule': return h('hr');
    case 'code': return codeNode(block);
    case 'math':
      return block.closed ? h('div', { class: 'formula' }, mathNode(block.text, true))
        : h('p', { class: 'open-formula' }, block.text);
    case 'quote': return h('blockquote', {}, ...block.blocks.map(blockNode));
    case 'list': return listNode(block);
    case 'table': return tableNode(block);
    default: return h('p', {}, inlineNodes(block.text));
  }
}
