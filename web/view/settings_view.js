// The dialog of settings. What is wrong is said beside its field, and nothing is saved until it is right.
import { h } from '../dom.js';
import { currentLanguage, languages, t } from '../i18n.js';
import { currentTheme, numberFields, readSchema, setTheme, themes } from '../settings.js';
import { complain, field, openDialog } from './dialog.js';

const kSchemaExample = '{\n  "type": "object",\n  "properties": {"name": {"type": "string"}},\n  "required": ["name"]\n}';

function select(options, value) {
  const element = h('select', {}, ...Object.entries(options).map(([name, label]) => h('option', { value: name }, label)));
  element.value = value;
  return element;
}

function area(value, rows, attributes = {}) {
  const element = h('textarea', { rows, spellcheck: 'false', ...attributes });
  element.value = value;
  return element;
}

// The number in a field: null when empty, undefined when wrong (and said so).
function readNumber(input, { min, max, step }) {
  const text = input.value.trim();
  const value = Number(text);
  const isFit = Number.isFinite(value) && value >= min && value <= max && (step !== 1 || Number.isInteger(value));
  const isGood = !input.validity.badInput && (text === '' || isFit);
  complain(input, isGood ? '' : t('number_wrong', { min, max }));
  if (!isGood) input.focus();
  return !isGood ? undefined : text === '' ? null : value;
}

export function openSettings({ settings, api, server, setLanguage, focus }) {
  const system = area(settings.get('system'), '3');
  const schema = area(settings.get('schema'), '5', { class: 'mono', placeholder: kSchemaExample });
  const stop = area(settings.get('stop'), '2', { class: 'mono' });
  const numbers = numberFields.map(one => ({ ...one, input: h('input', {
    type: 'number', min: one.min, max: one.max, step: one.step === 1 ? 1 : 'any', inputmode: 'decimal',
    placeholder: String(one.hint), value: settings.get(one.name) }) }));
  const thinks = h('input', { type: 'checkbox' });
  thinks.checked = settings.get('thinks');
  const sends = select({ enter: t('sends_enter'), ctrl: t('sends_ctrl') }, settings.get('sends'));
  const theme = select(Object.fromEntries(themes.map(name => [name, t(`theme_${name}`)])), currentTheme());
  const language = select(languages, currentLanguage());
  const forget = api.key ? h('button', { type: 'button', onclick: () => {
    api.setKey('', false);
    forget.remove();
    server.refresh();
  } }, t('key_forget')) : null;

  const save = () => {
    const { error } = readSchema(schema.value);
    complain(schema, error ? t('schema_wrong', { reason: error }) : '', t('schema_hint'));
    if (error) {
      schema.focus();
      return false;
    }
    const changes = { system: system.value, schema: schema.value, stop: stop.value, thinks: thinks.checked, sends: sends.value };
    for (const one of numbers) {
      changes[one.name] = readNumber(one.input, one);
      if (changes[one.name] === undefined) return false;
    }
    settings.set(changes);
    setTheme(theme.value);
    if (language.value !== currentLanguage()) setLanguage(language.value);
    return true;
  };

  const group = (title, hint, ...nodes) =>
    h('fieldset', {}, h('legend', {}, title), hint ? h('p', { class: 'hint' }, hint) : null, ...nodes);
  const grid = (...nodes) => h('div', { class: 'grid' }, ...nodes);
  openDialog({
    title: t('settings'), wide: true,
    content: [
      field(t('system_prompt'), system, t('system_hint')),
      group(t('sampling'), t('sampling_hint'), grid(...numbers.map(one => field(t(`field_${one.name}`), one.input))),
        field(t('stop_texts'), stop)),
      field(t('schema'), schema, t('schema_hint')),
      group(t('behaviour'), '', h('label', { class: 'check' }, thinks, t('thinks')),
        grid(field(t('sends'), sends), field(t('theme_label'), theme), field(t('language'), language)), forget),
    ],
    actions: [
      { label: t('reset'), act: () => settings.reset() },
      { label: t('cancel') },
      { label: t('save'), kind: 'primary', submit: true, act: save },
    ],
  });
  ({ schema, system }[focus] ?? system).focus();
}
