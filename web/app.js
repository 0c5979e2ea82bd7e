// The page: what it knows (store, server, settings, chat) is made once; what is seen is made anew when the language
// changes.
import { Api } from './api.js';
import { Chat } from './chat.js';
import { h, setAttributes } from './dom.js';
import { setLanguage, t } from './i18n.js';
import { icon } from './icons.js';
import { Server } from './server.js';
import { Settings, currentTheme, setTheme, themes } from './settings.js';
import { openStore } from './store.js';
import { iconButton } from './view/buttons.js';
import { Composer } from './view/composer.js';
import { ModelPicker } from './view/model_picker.js';
import { Notice } from './view/notice.js';
import { openSettings } from './view/settings_view.js';
import { listenForKeys, showShortcuts } from './view/shortcuts.js';
import { Sidebar } from './view/sidebar.js';
import { Thread } from './view/thread.js';
import { Toasts } from './view/toast.js';

const kNarrow = '(max-width: 50rem)'; // as in style/page.css
const isNarrow = () => matchMedia(kNarrow).matches;

class Page {
  constructor(model) {
    Object.assign(this, model);
    this.draft = { text: '', attachments: [] };
    this.parts = [];
    this.isOpen = !isNarrow() && this.settings.get('sidebar');
    this.chat.on('trouble', error => this.toasts.show(t('trouble', { reason: error.message })));
    for (const name of ['list', 'thread']) this.chat.on(name, () => this.remember());
    addEventListener('hashchange', () => {
      const id = location.hash.slice(1);
      if (id !== (this.chat.current?.conversation.id ?? '')) this.chat.select(id);
    });
    matchMedia(kNarrow).addEventListener('change', () => this.setSidebar(!isNarrow() && this.settings.get('sidebar')));
    addEventListener('beforeunload', event => { if (this.chat.runs.size) event.preventDefault(); });
    this.mount();
  }

  // The address names the conversation, so that a reload and the back button find it.
  remember() {
    const { conversation } = this.chat.current ?? {};
    const hash = conversation ? `#${conversation.id}` : '';
    if (location.hash !== hash) history.pushState(null, '', hash || location.pathname + location.search);
    document.title = conversation ? `${conversation.title} · Turgo` : 'Turgo';
  }

  mount() {
    this.parts.forEach(part => part.dispose());
    this.toasts = new Toasts();
    const { chat, server, settings, api, toasts, draft } = this;
    const speak = name => { setLanguage(name); this.mount(); };
    const showSettings = focus => openSettings({ settings, api, server, focus, setLanguage: speak });
    this.newChat = () => { chat.startNew(); this.leaveSidebar(); this.composer.focus(); };
    const { newChat } = this;
    this.sidebar = new Sidebar({ chat, toasts, newChat, showSettings: () => showSettings(), showShortcuts,
                                 open: async id => { await chat.select(id); this.leaveSidebar(); } });
    this.thread = new Thread({ chat, server, toasts, suggest: text => this.composer.fill(text) });
    this.composer = new Composer({ chat, server, settings, toasts, draft, showSettings, editLast: () => this.thread.editLast() });
    this.picker = new ModelPicker({ chat, server, settings, toasts });
    this.notice = new Notice({ server, api, toasts });
    const keys = listenForKeys({
      newChat, settings: () => showSettings(), help: showShortcuts, model: () => this.picker.open(),
      regenerate: () => this.thread.regenerateLast(), sidebar: () => this.setSidebar(!this.isOpen, true),
      stop: () => (chat.run() ? chat.stop() : this.isOpen && isNarrow() ? this.setSidebar(false) : false),
      search: () => { this.setSidebar(true); this.sidebar.search.focus(); this.sidebar.search.select(); },
    });
    this.parts = [this.sidebar, this.thread, this.composer, this.picker, this.notice, { dispose: keys }];
    this.draw();
  }

  draw() {
    this.menuButton = iconButton('menu', '', () => this.setSidebar(!this.isOpen, true), { 'aria-controls': 'sidebar' });
    this.themeButton = iconButton('auto', '', () => this.turnTheme());
    this.main = h('main', {},
      h('header', { class: 'bar' }, this.menuButton, this.picker.element, h('span', { class: 'gap' }), this.themeButton,
        iconButton('plus', t('new_chat'), this.newChat)),
      this.notice.element, this.thread.element, this.composer.element);
    this.scrim = h('div', { class: 'scrim', onclick: () => this.setSidebar(false) });
    this.frame = h('div', { class: 'frame' }, this.sidebar.element, this.scrim, this.main);
    const skip = event => { event.preventDefault(); this.composer.focus(); };
    document.body.replaceChildren(h('a', { class: 'skip', href: '#prompt', onclick: skip }, t('skip')), this.frame,
      this.toasts.element);
    this.setSidebar(this.isOpen);
    this.drawTheme();
    this.composer.grow();
    this.thread.keepEnd();
    if (!isNarrow()) this.composer.focus();
  }

  setSidebar(isOpen, isChosen = false) {
    this.isOpen = isOpen;
    if (isChosen && !isNarrow()) this.settings.set({ sidebar: isOpen });
    this.frame.dataset.sidebar = isOpen ? 'open' : 'closed';
    this.sidebar.element.inert = !isOpen;
    this.main.inert = isOpen && isNarrow();
    const label = t(isOpen ? 'close_sidebar' : 'open_sidebar');
    setAttributes(this.menuButton, { 'aria-expanded': String(isOpen), 'aria-label': label, title: label });
    if (isOpen && isNarrow()) this.sidebar.element.querySelector('.new').focus();
    else if (isNarrow()) this.menuButton.focus();
  }

  leaveSidebar() { if (isNarrow() && this.isOpen) this.setSidebar(false); }

  turnTheme() {
    setTheme(themes[(themes.indexOf(currentTheme()) + 1) % themes.length]);
    this.drawTheme();
  }

  drawTheme() {
    const name = currentTheme();
    const label = t('theme', { name: t(`theme_${name}`) });
    this.themeButton.replaceChildren(icon({ auto: 'auto', light: 'sun', dark: 'moon' }[name]));
    setAttributes(this.themeButton, { 'aria-label': label, title: label });
  }
}

const api = new Api();
const settings = new Settings();
const server = new Server(api);
const store = await openStore();
const chat = new Chat({ store, api, server, settings });
new Page({ api, settings, server, store, chat });
performance.mark('page-made');
server.refresh();
await chat.start(location.hash.slice(1));
