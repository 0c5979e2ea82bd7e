// Buttons that are only an icon: their label is their name and their hint.
import { h } from '../dom.js';
import { icon } from '../icons.js';

export function iconButton(name, label, act, attributes = {}) {
  const all = { type: 'button', class: 'quiet square', 'aria-label': label, title: label, onclick: act, ...attributes };
  return h('button', all, icon(name));
}
