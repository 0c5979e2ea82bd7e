// Modal dialogs on <dialog>: the browser keeps the focus inside and gives it back.
import { h, newId } from '../dom.js';
import { t } from '../i18n.js';
import { iconButton } from './buttons.js';

// content: nodes. actions: [{label, kind: 'primary' | 'danger' | '', act: () => false to stay open}]. Returns the element.
export function openDialog({ title, content, actions = [], onclose = null, wide = false, isForced = false }) {
  const id = newId('dialog');
  let isDone = false;
  const close = () => {
    isDone = true;
    dialog.close();
  };
  const run = async act => { if (await act?.() !== false) close(); };
  const buttons = actions.map(({ label, kind, act, submit }) => h('button', {
    type: submit ? 'submit' : 'button', class: kind ?? '', onclick: submit ? null : () => run(act),
  }, label));
  const primary = actions.find(one => one.submit);
  const form = h('form', { method: 'dialog', novalidate: true },
    h('header', {}, h('h2', { id }, title),
      isForced ? null : iconButton('close', t('close'), close)),
    h('div', { class: 'content' }, ...content), buttons.length ? h('footer', {}, ...buttons) : null);
  form.addEventListener('submit', event => {
    event.preventDefault();
    if (primary) run(primary.act);
  });
  const dialog = h('dialog', { 'aria-labelledby': id, class: wide ? 'wide' : null }, form);
  dialog.addEventListener('cancel', event => { if (isForced) event.preventDefault(); });
  dialog.addEventListener('click', event => { if (event.target === dialog && !isForced) close(); });
  dialog.addEventListener('close', () => {
    if (isForced && !isDone) return dialog.showModal(); // a second Escape closes it although the first was not let through
    dialog.remove();
    onclose?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// A field with its label, hint and a place for what is wrong.
export function field(label, input, hint = '') {
  input.id ||= newId('field');
  const note = h('small', { id: `${input.id}-note` }, hint);
  input.setAttribute('aria-describedby', note.id);
  return h('div', { class: 'field' }, h('label', { for: input.id }, label), input, note);
}

export function complain(input, text, hint = '') {
  const note = document.getElementById(`${input.id}-note`);
  note.textContent = text || hint;
  note.classList.toggle('wrong', text !== '');
  input.setAttribute('aria-invalid', String(text !== ''));
}
