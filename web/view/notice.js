// What stands above the conversation when the server does not answer, and the question for its key.
import { h } from '../dom.js';
import { t } from '../i18n.js';
import { complain, field, openDialog } from './dialog.js';

export class Notice {
  constructor({ server, api, toasts }) {
    Object.assign(this, { server, api, toasts, dialog: null, wasOffline: false });
    this.text = h('span');
    this.element = h('div', { class: 'notice', role: 'status', hidden: true }, this.text,
      h('button', { type: 'button', onclick: () => server.refresh() }, t('retry')));
    this.timer = setInterval(() => this.count(), 500);
    this.leave = server.on('state', () => this.draw());
    this.draw();
  }

  dispose() {
    clearInterval(this.timer);
    this.leave();
    this.dialog?.close();
  }

  draw() {
    const { state } = this.server;
    this.element.hidden = state !== 'offline';
    if (state === 'offline') this.wasOffline = true;
    if (state === 'online' && this.wasOffline) {
      this.wasOffline = false;
      this.toasts.show(t('back'));
    }
    if (state === 'locked' && !this.dialog) this.askForKey();
    this.count();
  }

  count() {
    if (this.element.hidden) return;
    const seconds = Math.ceil((this.server.nextTry - performance.now()) / 1000);
    const text = `${t('offline')} ${seconds > 0 ? t('offline_retry', { seconds }) : t('offline_now')}`;
    if (this.text.textContent !== text) this.text.textContent = text;
  }

  askForKey() {
    const input = h('input', { type: 'password', autocomplete: 'off', autofocus: true });
    const remember = h('input', { type: 'checkbox' });
    const name = field(t('key'), input, t('key_text'));
    const isWrong = this.api.key !== '';
    this.dialog = openDialog({
      title: t('key_wanted'), isForced: true, onclose: () => { this.dialog = null; },
      content: [name, h('label', { class: 'check' }, remember, t('key_remember'))],
      actions: [{ label: t('save'), kind: 'primary', submit: true, act: async () => {
        this.api.setKey(input.value.trim(), remember.checked);
        await this.server.refresh();
        if (this.server.state !== 'locked') return true;
        complain(input, t('key_wrong'));
        input.select();
        return false;
      } }],
    });
    if (isWrong) complain(input, t('key_wrong'));
  }
}
