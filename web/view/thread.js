// The messages from the first question to the current leaf. Follows a growing answer as long as the reader is at its
// end. Of a long conversation the last messages are drawn at first.
import { h } from '../dom.js';
import { t } from '../i18n.js';
import { logo } from '../icons.js';
import { iconButton } from './buttons.js';
import { MessageView } from './message.js';

const kShown = 60;
const kNear = 80;       // pixels from the end that count as its end
const kSettling = 1000;  // milliseconds after a conversation was opened
const kSpoken = 1500;   // characters of an answer that a screen reader is given

export class Thread {
  constructor(context) {
    this.context = context;
    this.chat = context.chat;
    this.views = new Map();
    this.limit = kShown;
    this.follows = true;
    this.thread = h('div', { class: 'thread', role: 'log', 'aria-live': 'off', 'aria-label': t('thread') });
    this.scroll = h('div', { class: 'scroll', tabindex: '-1', onscroll: () => this.scrolled() }, this.thread);
    this.jump = iconButton('bottom', t('to_latest'), () => this.toEnd(), { class: 'jump square', hidden: true });
    this.announcer = h('div', { class: 'sr', 'aria-live': 'polite' });
    this.element = h('div', { class: 'reading' }, this.scroll, this.jump, this.announcer);
    this.leave = [this.chat.on('thread', () => this.draw()), this.chat.on('message', message => this.grow(message)),
                  this.chat.on('run', id => this.ran(id)),
                  context.server.on('models', () => this.views.forEach(view => view.drawState()))];
    // Heights are known late: what is out of sight is laid out when it comes near.
    const observer = new ResizeObserver(() => {
      if (this.chat.run() || performance.now() - this.drawnAt < kSettling) this.keepEnd();
    });
    observer.observe(this.thread);
    this.leave.push(() => observer.disconnect());
    this.draw();
  }

  dispose() { this.leave.forEach(f => f()); }

  draw() {
    const id = this.chat.current?.conversation.id ?? null;
    if (id !== this.drawn) {
      this.drawn = id;
      this.drawnAt = performance.now();
      this.limit = kShown;
      this.follows = true;
      this.views.clear();
    }
    const path = this.chat.path();
    const shown = path.slice(-this.limit);
    const views = new Map(shown.map(message => {
      const view = this.views.get(message.id) ?? new MessageView(message, this.context);
      return [message.id, view];
    }));
    for (const [key, view] of views) if (this.views.get(key) === view) view.draw();
    this.views = views;
    const nodes = [...views.values()].map(view => view.element);
    if (path.length > shown.length) nodes.unshift(h('button', { type: 'button', class: 'more', onclick: () => {
      this.limit += kShown;
      this.draw();
    } }, t('show_earlier', { count: path.length - shown.length })));
    if (path.length === 0) nodes.push(this.greeting());
    this.thread.replaceChildren(...nodes);
    this.keepEnd();
  }

  greeting() {
    const idea = name =>
      h('button', { type: 'button', class: 'idea', onclick: () => this.context.suggest(t(name)) }, t(name));
    return h('section', { class: 'greeting' }, logo(), h('h2', {}, t('greeting')), h('p', {}, t('greeting_note')),
      h('div', { class: 'ideas' }, idea('idea_1'), idea('idea_2'), idea('idea_3')));
  }

  grow(message) {
    const view = this.views.get(message.id);
    if (view) view.update(() => this.keepEnd());
  }

  ran(id) {
    if (id !== this.drawn) return;
    const run = this.chat.run();
    const last = this.chat.path().at(-1);
    this.views.forEach(view => view.drawActions());
    const spoken = last?.role === 'assistant' ? `${t('answered')} ${last.content.slice(0, kSpoken)}` : '';
    this.announcer.textContent = run ? t('answering') : spoken;
    if (run) this.toEnd();
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroll;
    this.follows = scrollHeight - scrollTop - clientHeight < kNear;
    this.jump.hidden = this.follows;
  }

  keepEnd() { if (this.follows) this.scroll.scrollTop = this.scroll.scrollHeight; }

  toEnd() {
    this.follows = true;
    this.keepEnd();
    this.scrolled();
  }

  // The last question, for the key that edits it.
  editLast() { [...this.views.values()].filter(view => !view.isAnswer).at(-1)?.edit(); }
  regenerateLast() {
    const last = this.chat.path().at(-1);
    if (last?.role === 'assistant' && !this.chat.run()) this.chat.regenerate(last.id);
  }
}
