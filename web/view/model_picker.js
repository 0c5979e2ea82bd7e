// Which model answers next, and how each of them is: a button with a menu.
import { h } from '../dom.js';
import { formatBytes, t } from '../i18n.js';
import { icon } from '../icons.js';
import { openMenu } from './menu.js';

const kKnown = ['loaded', 'loading', 'unloaded', 'sleeping', 'failed'];
const stateText = state => (kKnown.includes(state) ? t(`state_${state}`) : state);

export class ModelPicker {
  constructor({ chat, server, settings, toasts }) {
    Object.assign(this, { chat, server, settings, toasts });
    this.dot = h('span', { class: 'dot' });
    this.name = h('span', { class: 'name' });
    this.button = h('button', { type: 'button', class: 'quiet model', 'aria-haspopup': 'menu', 'aria-expanded': 'false',
                                onclick: () => this.open() }, this.dot, this.name, icon('down'));
    this.element = this.button;
    const redraw = () => this.draw();
    this.leave = [server.on('models', redraw), server.on('state', redraw), settings.on('change', redraw)];
    this.draw();
  }

  dispose() { this.leave.forEach(f => f()); this.menu?.close(); }

  draw() {
    const id = this.chat.model();
    const model = this.server.find(id);
    const isGone = this.server.state === 'offline' || this.server.state === 'locked';
    const state = isGone ? 'failed' : model?.state ?? 'unloaded';
    this.name.textContent = id || t('no_model');
    this.dot.dataset.state = state;
    const said = this.server.state === 'offline' ? t('offline') : stateText(state);
    this.button.setAttribute('aria-label', t('model_is', { name: id || t('no_model'), state: said }));
    this.menu?.update();
  }

  open() {
    if (this.button.getAttribute('aria-expanded') === 'true') return this.menu.close();
    this.menu = openMenu(this.button, t('model'), () => {
      const chosen = this.chat.model();
      const dot = state => h('span', { class: 'dot', 'data-state': state });
      const items = this.server.models.map(model => ({
        label: model.id, icon: dot(model.state), checked: model.id === chosen,
        detail: [model.size ? formatBytes(model.size) : '', stateText(model.state)].filter(Boolean).join(' · '),
        act: () => this.choose(model.id),
      }));
      const loaded = this.server.models.filter(model => model.state === 'loaded');
      if (loaded.length && this.server.models.length > 1)
        items.push(null, ...loaded.map(({ id }) => ({
          label: t('unload', { name: id }), icon: icon('power'), act: () => this.run('unload', id) })));
      return items;
    });
    return this.server.refresh();
  }

  choose(id) {
    this.settings.set({ model: id });
    if (this.server.find(id)?.state !== 'loaded') this.run('load', id);
  }

  async run(what, id) {
    try {
      await this.server[what](id);
    } catch (error) {
      this.toasts.show(t('load_failed', { name: id, reason: error.message }));
    }
  }
}
