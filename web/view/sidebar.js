// The list of conversations: search, one's menu, import and export, and the way to the settings.
import { h, saveFile } from '../dom.js';
import { formatTime, t } from '../i18n.js';
import { icon, logo } from '../icons.js';
import { ImportError, exportText, importText } from '../transfer.js';
import { iconButton } from './buttons.js';
import { field, openDialog } from './dialog.js';
import { openMenu } from './menu.js';

const kDay = 86_400_000;
const kShown = 200; // conversations at first

function periodOf(time) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (time >= midnight) return 'today';
  if (time >= midnight - kDay) return 'yesterday';
  return time >= midnight - 6 * kDay ? 'this_week' : 'older';
}

export class Sidebar {
  constructor({ chat, toasts, open, newChat, showSettings, showShortcuts }) {
    Object.assign(this, { chat, toasts, open });
    this.query = '';
    this.found = null;
    this.limit = kShown;
    this.search = h('input', { type: 'search', placeholder: t('search'), 'aria-label': t('search'), autocomplete: 'off',
                               spellcheck: 'false', oninput: () => this.lookFor(this.search.value.trim()) });
    this.list = h('nav', { class: 'list', 'aria-label': t('conversations') });
    this.file = h('input', { type: 'file', accept: '.json,application/json', multiple: true, hidden: true,
                             'aria-label': t('import'), onchange: () => this.importFiles([...this.file.files]) });
    const tool = (name, label, act) =>
      h('button', { type: 'button', class: 'quiet', onclick: act, title: label }, icon(name), h('span', {}, label));
    this.element = h('aside', { class: 'sidebar', id: 'sidebar', 'aria-label': t('conversations') },
      h('div', { class: 'brand' }, logo(), h('h1', {}, 'Turgo')),
      h('button', { type: 'button', class: 'new', onclick: newChat }, icon('plus'), t('new_chat')),
      h('div', { class: 'search' }, icon('search'), this.search), this.list,
      h('div', { class: 'tools' },
        tool('import', t('import'), () => this.file.click()), tool('export', t('export_all'), () => this.exportAll()),
        tool('keyboard', t('keys'), showShortcuts), tool('gear', t('settings'), showSettings), this.file),
      h('p', { class: 'kept' }, t(chat.store.isKept ? 'kept_here' : 'not_kept')));
    this.leave = [chat.on('list', () => (this.query ? this.lookFor(this.query) : this.draw())),
                  chat.on('run', () => this.draw())];
    this.draw();
  }

  dispose() { this.leave.forEach(f => f()); }

  lookFor(query) {
    this.query = query;
    clearTimeout(this.timer);
    if (!query) {
      this.found = null;
      this.draw();
      return;
    }
    this.timer = setTimeout(async () => {
      const found = await this.chat.search(query);
      if (this.query !== query) return;
      this.found = found;
      this.draw();
    }, 120);
  }

  draw() {
    const rows = this.found ?? this.chat.conversations.map(conversation => ({ conversation, snippet: '' }));
    const nodes = [];
    let [period, list] = ['', null];
    for (const { conversation, snippet } of rows.slice(0, this.limit)) {
      const now = periodOf(conversation.updated);
      if (now !== period) {
        period = now;
        list = h('ul', { 'aria-label': t(period) });
        nodes.push(h('h2', {}, t(period)), list);
      }
      list.append(this.row(conversation, snippet));
    }
    if (rows.length > this.limit)
      nodes.push(h('button', { type: 'button', class: 'more', onclick: () => {
        this.limit += kShown;
        this.draw();
      } }, icon('down'), String(rows.length - this.limit)));
    if (rows.length === 0) nodes.push(h('p', { class: 'empty' }, t(this.found ? 'no_match' : 'nothing_yet')));
    const focused = document.activeElement?.closest?.('li')?.dataset.id;
    const isMenu = document.activeElement?.classList?.contains('dots');
    this.list.replaceChildren(...nodes);
    if (focused) this.list.querySelector(`li[data-id="${CSS.escape(focused)}"] ${isMenu ? '.dots' : '.open'}`)?.focus();
  }

  row(conversation, snippet) {
    const isCurrent = this.chat.current?.conversation.id === conversation.id;
    const label = t('options_of', { title: conversation.title });
    const dots = iconButton('more', label, () => openMenu(dots, label, () => [
      { label: t('rename'), icon: icon('edit'), act: () => this.rename(conversation) },
      { label: t('export'), icon: icon('export'), act: () => this.exportSome([conversation.id], conversation.title) },
      { label: t('delete'), icon: icon('trash'), danger: true, act: () => this.remove(conversation.id) },
    ]), { class: 'quiet square dots', title: null, 'aria-haspopup': 'menu', 'aria-expanded': 'false' });
    return h('li', { 'data-id': conversation.id, class: isCurrent ? 'current' : null },
      h('button', { type: 'button', class: 'open', 'aria-current': isCurrent ? 'page' : null,
                    title: `${conversation.title}\n${formatTime(conversation.updated)}`,
                    onclick: () => this.open(conversation.id) },
        h('span', { class: 'name' }, conversation.title),
        this.chat.runs.has(conversation.id) ? h('span', { class: 'busy', role: 'img', 'aria-label': t('answering') }) : null,
        snippet ? h('span', { class: 'snippet' }, ...this.marked(snippet)) : null), dots);
  }

  marked(text) {
    const at = text.toLowerCase().indexOf(this.query.toLowerCase());
    if (at < 0) return [text];
    const end = at + this.query.length;
    return [text.slice(0, at), h('mark', {}, text.slice(at, end)), text.slice(end)];
  }

  rename(conversation) {
    const input = h('input', { type: 'text', maxlength: '300', value: conversation.title, autofocus: true });
    openDialog({ title: t('rename'), content: [field(t('title'), input)], actions: [
      { label: t('cancel') },
      { label: t('save'), kind: 'primary', submit: true, act: () => this.chat.rename(conversation.id, input.value) }] });
    input.select();
  }

  async remove(id) {
    const putBack = await this.chat.removeConversation(id);
    this.toasts.show(t('deleted'), t('undo'), putBack);
  }

  exportAll() { return this.exportSome(this.chat.conversations.map(one => one.id), 'turgo'); }

  async exportSome(ids, title) {
    const name = title.replaceAll(/[^\p{L}\p{N}]+/gu, '-').slice(0, 40) || 'turgo';
    saveFile(`${name}-${new Date().toISOString().slice(0, 10)}.json`, exportText(await this.chat.entries(ids)));
  }

  async importFiles(files) {
    this.file.value = '';
    for (const file of files) {
      try {
        const list = importText(await file.text());
        await this.chat.take(list);
        this.toasts.show(t('imported', { count: list.length }));
      } catch (error) {
        if (!(error instanceof ImportError) && !(error instanceof DOMException)) throw error;
        this.toasts.show(t('import_failed', { name: file.name, reason: error.message }));
      }
    }
  }
}
