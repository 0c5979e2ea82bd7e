// A menu below a button: arrow keys, Home, End, letters, Escape; the focus goes back to the button.
import { h } from '../dom.js';

const startsWith = (button, key) => button.textContent.trim().toLowerCase().startsWith(key.toLowerCase());

// items: () => [{label, detail, icon, checked, danger, disabled, act} or null for a line]. Returns {close, update}.
export function openMenu(anchor, label, items) {
  const menu = h('div', { role: 'menu', 'aria-label': label, class: 'menu', tabindex: '-1' });
  const buttons = () => [...menu.querySelectorAll('[role^=menuitem]:not([disabled])')];

  const draw = () => {
    const at = buttons().indexOf(document.activeElement);
    menu.replaceChildren(...items().map(item => (item === null ? h('div', { role: 'separator' }) : h('button', {
      type: 'button', role: item.checked === undefined ? 'menuitem' : 'menuitemradio', tabindex: '-1',
      'aria-checked': item.checked === undefined ? null : String(item.checked), disabled: item.disabled ?? false,
      class: item.danger ? 'danger' : null, onclick: () => { close(); item.act(); },
    }, item.icon ?? null, h('span', { class: 'label' }, item.label),
    item.detail ? h('span', { class: 'detail' }, item.detail) : null))));
    if (at >= 0) buttons()[at]?.focus();
  };

  const place = () => {
    const box = anchor.getBoundingClientRect();
    const size = menu.getBoundingClientRect();
    const top = box.bottom + 6 + size.height > innerHeight ? Math.max(8, box.top - 6 - size.height) : box.bottom + 6;
    menu.style.top = `${top}px`;
    menu.style.left = `${Math.max(8, Math.min(box.left, innerWidth - size.width - 8))}px`;
  };

  const close = () => {
    if (!menu.isConnected) return;
    menu.remove();
    anchor.setAttribute('aria-expanded', 'false');
    document.removeEventListener('pointerdown', leave, true);
    removeEventListener('resize', close);
    anchor.focus();
  };
  const leave = event => { if (!menu.contains(event.target) && !anchor.contains(event.target)) close(); };

  menu.addEventListener('keydown', event => {
    const list = buttons();
    const at = list.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === 'Escape' || event.key === 'Tab') close();
    else if (to !== undefined) list.at(to % list.length)?.focus();
    else if (event.key.length === 1)
      [...list.slice(at + 1), ...list].find(one => startsWith(one, event.key))?.focus();
    if (event.key === 'Enter' || event.key === ' ') return;
    event.preventDefault();
    event.stopPropagation();
  });

  draw();
  document.body.append(menu);
  place();
  anchor.setAttribute('aria-expanded', 'true');
  document.addEventListener('pointerdown', leave, true);
  addEventListener('resize', close);
  (menu.querySelector('[aria-checked=true]:not([disabled])') ?? buttons()[0] ?? menu).focus();
  return { close, update: () => { if (menu.isConnected) draw(); } };
}
