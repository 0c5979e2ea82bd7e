// Where one writes: a box that grows, files by button, drop or paste, and what is set for the next answer.
import { AttachmentError, readAttachment } from '../attachments.js';
import { h, newId } from '../dom.js';
import { t } from '../i18n.js';
import { icon } from '../icons.js';
import { iconButton } from './buttons.js';
import { attachmentNode } from './message.js';

const kPasteAsFile = 10_000; // characters

export class Composer {
  constructor({ chat, server, settings, toasts, draft, showSettings, editLast }) {
    Object.assign(this, { chat, server, settings, toasts, draft, showSettings, editLast });
    const hint = newId('hint');
    this.area = h('textarea', {
      id: 'prompt', rows: '1', placeholder: t('message_hint'), 'aria-label': t('message'), 'aria-describedby': hint,
      oninput: () => this.typed(), onkeydown: event => this.pressed(event), onpaste: event => this.pasted(event) });
    this.file = h('input', { type: 'file', multiple: true, hidden: true, 'aria-label': t('attach'), onchange: () => {
      this.take([...this.file.files]);
      this.file.value = '';
    } });
    this.files = h('ul', { class: 'attachments' });
    this.note = h('p', { class: 'note', role: 'status' });
    this.chips = h('div', { class: 'chips' });
    this.button = h('button', { type: 'submit', class: 'send square' });
    this.hint = h('span', { id: hint });
    this.box = h('div', { class: 'box' }, this.files, this.area, h('div', { class: 'row' },
      iconButton('attach', t('attach'), () => this.file.click()), this.chips, this.button, this.file));
    this.element = h('form', { class: 'composer', onsubmit: event => {
      event.preventDefault();
      this.act();
    } }, this.note, this.box, h('p', { class: 'hints' }, this.hint, h('span', {}, t('disclaimer'))));
    this.area.value = draft.text;
    const draw = () => this.draw();
    this.leave = [chat.on('run', draw), chat.on('thread', draw), server.on('state', draw), server.on('models', draw),
      settings.on('change', draw), this.acceptDrops()];
    this.draw();
    this.drawFiles();
  }

  dispose() { this.leave.forEach(f => f()); }

  focus() { this.area.focus(); }
  fill(text) {
    this.area.value = text;
    this.typed();
    this.focus();
  }

  typed() {
    this.draft.text = this.area.value;
    this.grow();
    this.draw();
  }

  grow() {
    this.area.style.height = 'auto';
    this.area.style.height = `${Math.min(this.area.scrollHeight, innerHeight * 0.4)}px`;
  }

  draw() {
    const isRunning = this.chat.run() !== null;
    const name = isRunning ? 'stop' : 'send';
    if (this.shown !== name) {
      this.shown = name;
      this.button.replaceChildren(icon(name));
      this.button.setAttribute('aria-label', t(name));
      this.button.title = t(name);
    }
    this.button.disabled = !isRunning && (!this.hasText() || this.server.state !== 'online');
    this.hint.textContent = t(this.settings.get('sends') === 'enter' ? 'hint_enter' : 'hint_ctrl');
    this.drawChips();
  }

  drawChips() {
    const set = ['schema', 'system'].filter(name => this.settings.get(name).trim() !== '');
    const form = set.join();
    if (form === this.chipForm) return;
    this.chipForm = form;
    this.chips.replaceChildren(...set.map(name => {
      const label = t(`${name}_on`);
      const off = t('turn_off', { name: label });
      return h('span', { class: 'chip' },
        h('button', { type: 'button', onclick: () => this.showSettings(name), title: label },
          icon(name === 'schema' ? 'braces' : 'person'), h('span', {}, label)),
        iconButton('close', off, () => this.settings.set({ [name]: '' }), { class: null }));
    }));
  }

  hasText() { return this.area.value.trim() !== '' || this.draft.attachments.length > 0; }

  act() {
    if (this.chat.run()) {
      this.chat.stop();
      this.focus();
    } else if (this.hasText() && this.server.state === 'online') {
      const text = this.area.value;
      const { attachments } = this.draft;
      this.draft.attachments = [];
      this.note.textContent = '';
      this.area.value = '';
      this.typed();
      this.drawFiles();
      this.chat.send(text, attachments);
    }
  }

  pressed(event) {
    if (event.isComposing || event.keyCode === 229) return; // an input method is at work
    const hasCommand = event.ctrlKey || event.metaKey;
    const isTouch = matchMedia('(pointer: coarse)').matches;
    const sendsPlain = this.settings.get('sends') === 'enter' && !isTouch;
    if (event.key === 'Enter' && (hasCommand || (sendsPlain && !event.shiftKey))) {
      event.preventDefault();
      if (!this.chat.run()) this.act();
    } else if (event.key === 'ArrowUp' && this.area.value === '' && !this.chat.run()) {
      event.preventDefault();
      this.editLast();
    }
  }

  pasted(event) {
    const files = [...event.clipboardData.files];
    const text = event.clipboardData.getData('text/plain');
    if (files.length) this.take(files);
    else if (text.length > kPasteAsFile) this.take([new File([text], t('pasted'), { type: 'text/plain' })]);
    else return;
    event.preventDefault();
  }

  acceptDrops() {
    const over = event => {
      if (![...event.dataTransfer.types].includes('Files')) return;
      event.preventDefault();
      document.body.dataset.drop = t('drop_here');
    };
    const leave = event => { if (!event.relatedTarget) delete document.body.dataset.drop; };
    const drop = event => {
      delete document.body.dataset.drop;
      if (event.dataTransfer.files.length === 0) return;
      event.preventDefault();
      this.take([...event.dataTransfer.files]);
    };
    const all = Object.entries({ dragover: over, dragleave: leave, drop });
    for (const [name, f] of all) document.addEventListener(name, f);
    return () => { for (const [name, f] of all) document.removeEventListener(name, f); };
  }

  async take(files) {
    const troubles = [];
    for (const file of files) {
      try {
        this.draft.attachments.push(await readAttachment(file));
      } catch (error) {
        if (!(error instanceof AttachmentError)) throw error;
        troubles.push(t(error.reason, { name: error.name }));
      }
    }
    this.drawFiles();
    this.draw();
    this.focus();
    if (await this.isBlind()) troubles.push(t('image_unseen', { model: this.chat.model() }));
    this.note.textContent = troubles.join(' ');
  }

  // Whether there is a picture that the model does not see.
  async isBlind() {
    const model = this.chat.model();
    if (!this.draft.attachments.some(one => one.kind === 'image') || !model) return false;
    return !(await this.server.abilities(model).catch(() => ({ sees: false }))).sees;
  }

  drawFiles() {
    this.files.replaceChildren(...this.draft.attachments.map((one, i) => attachmentNode(one, () => {
      this.draft.attachments.splice(i, 1);
      this.note.textContent = '';
      this.drawFiles();
      this.draw();
      this.focus();
    })));
    this.files.hidden = this.draft.attachments.length === 0;
  }
}
