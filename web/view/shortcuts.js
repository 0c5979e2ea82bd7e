// The keys that work everywhere on the page, and the list of them.
import { h } from '../dom.js';
import { t } from '../i18n.js';
import { openDialog } from './dialog.js';

const isApple = /Mac|iP(hone|ad)/.test(navigator.platform);
const kCommand = isApple ? '⌘' : 'Ctrl';

// [what, keys as shown, name in handlers, test of the event]
const command = event => (isApple ? event.metaKey : event.ctrlKey) && !event.altKey;
const kKeys = [
  ['key_send', ['Enter']],
  ['key_line', ['Shift', 'Enter']],
  ['key_stop', ['Esc'], 'stop', e => e.key === 'Escape'],
  ['key_edit', ['↑']],
  ['key_again', [kCommand, 'Shift', 'Enter'], 'regenerate', e => command(e) && e.shiftKey && e.key === 'Enter'],
  ['key_new', [kCommand, 'Shift', 'O'], 'newChat', e => command(e) && e.shiftKey && e.key.toLowerCase() === 'o'],
  ['key_search', [kCommand, 'K'], 'search', e => command(e) && !e.shiftKey && e.key === 'k'],
  ['key_sidebar', [kCommand, 'B'], 'sidebar', e => command(e) && !e.shiftKey && e.key === 'b'],
  ['key_model', [kCommand, 'M'], 'model', e => command(e) && !e.shiftKey && e.key === 'm'],
  ['key_settings', [kCommand, ','], 'settings', e => command(e) && e.key === ','],
  ['key_help', [kCommand, '/'], 'help', e => command(e) && e.key === '/'],
];

export function listenForKeys(handlers) {
  const listen = event => {
    if (event.isComposing || document.querySelector('dialog[open]')) return;
    const found = kKeys.find(([, , , test]) => test?.(event));
    if (!found || handlers[found[2]]() === false) return;
    event.preventDefault();
    event.stopPropagation();
  };
  document.addEventListener('keydown', listen);
  return () => document.removeEventListener('keydown', listen);
}

export function showShortcuts() {
  openDialog({ title: t('shortcuts'), content: [h('dl', { class: 'keys' }, ...kKeys.flatMap(([name, keys]) => [
    h('dt', {}, ...keys.flatMap((key, i) => [i ? ' + ' : '', h('kbd', {}, key)])), h('dd', {}, t(name))]))] });
}
