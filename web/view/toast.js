// Short news at the edge of the page, read out by screen readers; perhaps with one thing to do.
import { h } from '../dom.js';

const kMilliseconds = 7000;

export class Toasts {
  constructor() { this.element = h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' }); }

  show(text, action = null, act = null) {
    const toast = h('div', { class: 'toast' }, h('span', {}, text));
    const close = () => toast.remove();
    if (action) toast.append(h('button', { type: 'button', onclick: () => { close(); act(); } }, action));
    this.element.append(toast);
    while (this.element.childElementCount > 3) this.element.firstChild.remove();
    setTimeout(close, kMilliseconds);
  }
}
