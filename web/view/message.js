// One message on the page: a question as its plain text, an answer as Markdown with its thoughts folded, both with what
// can be done with them. update() while an answer grows redraws at most as often as a fifth of the time allows.
import { copyText, h } from '../dom.js';
import { formatBytes, formatNumber, t } from '../i18n.js';
import { icon } from '../icons.js';
import { MarkdownView } from '../markdown/stream.js';
import { iconButton } from './buttons.js';

const kPlainLength = 4000; // characters of a question at first

export function attachmentNode(one, remove = null) {
  const name = h('span', { class: 'name' }, one.name);
  const picture = one.kind === 'image' ? h('img', { src: one.data, alt: one.name }) : icon('file');
  const size = one.kind === 'text' ? h('span', { class: 'detail' }, formatBytes(one.data.length)) : null;
  return h('li', { class: `attachment ${one.kind}`, title: one.name }, picture, name, size,
    remove ? iconButton('close', t('remove', { name: one.name }), remove) : null);
}

export class MessageView {
  constructor(message, { chat, server, toasts }) {
    Object.assign(this, { message, chat, server, toasts, pending: 0, cost: 0 });
    this.isAnswer = message.role === 'assistant';
    this.body = h('div', { class: this.isAnswer ? 'prose' : 'bubble' });
    this.state = h('p', { class: 'state', hidden: true });
    this.actions = h('footer', { class: 'actions' });
    const name = this.isAnswer ? t('answer_of', { model: message.model || t('model') }) : t('you_said');
    this.element = h('article', { class: `message ${message.role}`, 'data-id': message.id, 'aria-label': name },
      h('h2', { class: 'sr' }, name), ...this.attachments(), this.isAnswer ? this.makeThoughts() : null, this.body, this.state,
      this.actions);
    if (this.isAnswer) this.text = new MarkdownView(this.body);
    this.draw();
  }

  attachments() {
    const list = this.message.attachments ?? [];
    return list.length ? [h('ul', { class: 'attachments' }, ...list.map(one => attachmentNode(one)))] : [];
  }

  makeThoughts() {
    this.thoughtsTitle = h('span');
    const inner = h('div', { class: 'prose' });
    this.thoughtsText = new MarkdownView(inner);
    this.thoughts = h('details', { class: 'thoughts', hidden: true, ontoggle: () => this.drawThoughts() },
      h('summary', {}, icon('right'), this.thoughtsTitle), inner);
    return this.thoughts;
  }

  get isRunning() { return this.chat.runs.get(this.message.conversation)?.message === this.message; }

  // Soon, and never so often that drawing takes more than a fifth of the time.
  update(done) {
    if (this.pending) return;
    this.pending = setTimeout(() => requestAnimationFrame(() => {
      this.pending = 0;
      if (!this.element.isConnected) return;
      const begin = performance.now();
      this.draw();
      this.cost = performance.now() - begin;
      done();
    }), Math.min(2000, 4 * this.cost));
  }

  draw() {
    if (this.isAnswer) {
      this.drawThoughts();
      this.text.update(this.message.content, !this.isRunning);
      this.body.hidden = this.message.content === '';
    } else if (!this.editor) this.drawQuestion();
    this.drawState();
    this.drawActions();
  }

  drawQuestion() {
    const text = this.message.content;
    this.limit ??= kPlainLength;
    const more = text.length > this.limit ? h('button', { type: 'button', class: 'more', onclick: () => {
      this.limit *= 10;
      this.drawQuestion();
    } }, t('show_more', { size: formatBytes(text.length - this.limit) })) : null;
    this.body.replaceChildren(text.slice(0, this.limit), ...(more ? [more] : []));
    this.body.hidden = text === '';
  }

  drawThoughts() {
    const { message } = this;
    this.thoughts.hidden = !message.reasoning;
    if (!message.reasoning) return;
    const isThinking = this.isRunning && !message.content;
    const seconds = message.timing?.thinking;
    this.thoughts.classList.toggle('busy', isThinking);
    this.thoughtsTitle.textContent = isThinking ? t('thinking')
      : seconds ? t('thought_for', { seconds: formatNumber(seconds / 1000, seconds < 10_000 ? 1 : 0) }) : t('thought');
    if (this.thoughts.open) this.thoughtsText.update(message.reasoning, !isThinking);
  }

  drawState() {
    const { message } = this;
    let text = '';
    if (!this.isAnswer) text = '';
    else if (this.isRunning && !message.content && !message.reasoning)
      text = this.server.find(message.model)?.state !== 'loading' ? t('waiting')
        : t('loading_model', { model: message.model });
    else if (this.isRunning) text = '';
    else if (message.finish === 'error') text = message.error || t('connection_lost');
    else if (message.finish === 'stopped') text = t('stopped');
    else if (message.finish === 'length') text = t('cut_off');
    else if (!message.finish) text = t('interrupted');
    this.state.textContent = text;
    this.state.hidden = text === '';
    this.state.className = `state ${this.isRunning ? 'busy' : message.finish === 'error' ? 'wrong' : ''}`;
    this.element.setAttribute('aria-busy', String(this.isRunning));
  }

  // Rebuilt when what can be done changes, so that a button keeps the focus while figures change beside it.
  drawActions() {
    const { message } = this;
    const { index, count } = this.chat.place(message);
    const form = `${index}/${count}/${this.isRunning}/${!!this.editor}`;
    if (form !== this.form) {
      this.form = form;
      this.stats = h('span', { class: 'stats' });
      const focused = this.actions.contains(document.activeElement) ? document.activeElement.getAttribute('aria-label') : null;
      this.actions.replaceChildren(...(this.editor ? [] : [...this.branches(index, count), ...this.buttons(), this.stats]));
      if (focused) this.actions.querySelector(`button[aria-label="${CSS.escape(focused)}"]`)?.focus();
    }
    this.stats.replaceChildren(...this.figures());
  }

  branches(index, count) {
    if (count < 2) return [];
    const step = (by, name, label) => {
      const button = iconButton(name, label, () => this.chat.step(this.message, by));
      button.disabled = index + by < 0 || index + by >= count;
      return button;
    };
    const label = t('versions', { index: index + 1, count });
    const place = h('span', { class: 'place', role: 'img', 'aria-label': label }, `${index + 1} / ${count}`);
    return [h('span', { class: 'branches' }, step(-1, 'left', t('previous_version')), place,
      step(1, 'right', t('next_version')))];
  }

  buttons() {
    if (this.isRunning) return [];
    const copy = iconButton('copy', t('copy'), () => this.copy(copy));
    return [copy, this.isAnswer ? iconButton('again', t('regenerate'), () => this.chat.regenerate(this.message.id)) : null,
      iconButton('edit', t('edit'), () => this.edit()), iconButton('trash', t('delete'), () => this.remove())].filter(Boolean);
  }

  figures() {
    const { message } = this;
    if (!this.isAnswer) return [];
    const run = this.isRunning ? this.chat.runs.get(message.conversation) : null;
    const usage = message.usage ?? {};
    const tokens = usage.completion_tokens ?? run?.count ?? 0;
    const { prompt_tokens: prompt = 0, cached_tokens: cached = 0 } = usage;
    if (!tokens) return [];
    const first = message.timing?.first ?? 0;
    const total = run ? run.last - run.begun : message.timing?.total ?? 0;
    const speed = tokens > 1 && total > first ? (tokens - 1) / ((total - first) / 1000) : 0;
    const parts = [t('tokens', { count: formatNumber(tokens) })];
    if (speed) parts.push(t('speed', { speed: formatNumber(speed, speed < 100 ? 1 : 0) }));
    if (!run && first) parts.push(t('first_token', { seconds: formatNumber(first / 1000, 2) }));
    const known = cached ? ` (${t('cached_tokens', { count: formatNumber(cached) })})` : '';
    if (prompt) parts.push(t('prompt_tokens', { count: formatNumber(prompt) }) + known);
    const { context = 0 } = this.server.known.get(message.model) ?? {};
    if (prompt && context) parts.push(t('context_used', { percent: formatNumber(100 * (prompt + tokens) / context) }));
    return parts.map(text => h('span', {}, text));
  }

  async copy(button) {
    try {
      await copyText(this.message.content);
      button.replaceChildren(icon('check'));
      setTimeout(() => button.replaceChildren(icon('copy')), 1500);
    } catch {
      this.toasts.show(t('copy_failed'));
    }
  }

  remove() {
    const putBack = this.chat.removeMessage(this.message.id);
    this.toasts.show(t('deleted'), t('undo'), putBack);
  }

  edit() {
    const area = h('textarea', { 'aria-label': t('edit_message'), rows: '4' });
    area.value = this.message.content;
    const close = () => {
      this.editor.remove();
      this.editor = null;
      this.body.hidden = false;
      this.draw();
      this.actions.querySelector('button')?.focus();
    };
    const save = () => {
      const text = area.value;
      const isSame = text === this.message.content && this.isAnswer;
      close();
      if (!isSame && (text.trim() || this.message.attachments?.length)) this.chat.edit(this.message.id, text);
    };
    area.addEventListener('keydown', event => {
      if (event.isComposing) return;
      if (event.key === 'Escape') close();
      else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) save();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.editor = h('div', { class: 'editor' }, area, h('div', { class: 'row' },
      h('button', { type: 'button', onclick: close }, t('cancel')),
      h('button', { type: 'button', class: 'primary', onclick: save }, t(this.isAnswer ? 'save' : 'save_and_send'))));
    this.body.hidden = true;
    this.body.after(this.editor);
    this.drawActions();
    area.style.height = `${Math.min(innerHeight * 0.5, area.scrollHeight + 4)}px`;
    area.focus();
  }
}
