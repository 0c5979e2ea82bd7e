// What the user set, kept in localStorage: fields of the requests (empty: the server's default), the system prompt, the
// schema of answers, theme, chosen model.
import { Signals } from './signals.js';

const kName = 'turgo.settings';

// The numbers, with the ranges that the server takes. `hint`: what holds when the field is empty.
export const numberFields = [
  { name: 'temperature', min: 0, max: 2, step: 0.05, hint: 0.7 },
  { name: 'top_p', min: 0.01, max: 1, step: 0.01, hint: 1 },
  { name: 'top_k', min: 0, max: 1000, step: 1, hint: 40 },
  { name: 'min_p', min: 0, max: 1, step: 0.01, hint: 0 },
  { name: 'repetition_penalty', min: 0.5, max: 2, step: 0.01, hint: 1 },
  { name: 'presence_penalty', min: -2, max: 2, step: 0.1, hint: 0 },
  { name: 'frequency_penalty', min: -2, max: 2, step: 0.1, hint: 0 },
  { name: 'max_tokens', min: 1, max: 1_000_000, step: 1, hint: '∞' },
  { name: 'seed', min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, hint: '?' },
];

const kDefaults = { model: '', system: '', schema: '', stop: '', thinks: true, sends: 'enter', sidebar: true,
                    ...Object.fromEntries(numberFields.map(field => [field.name, null])) };

// {schema} or {error}: what a text for the field "JSON schema" means. Empty: neither.
export function readSchema(text) {
  if (!text.trim()) return {};
  let schema;
  try { schema = JSON.parse(text); } catch (error) { return { error: error.message }; }
  const isObject = typeof schema === 'object' && schema !== null && !Array.isArray(schema);
  return isObject ? { schema } : { error: '{ … }' };
}

export class Settings extends Signals {
  constructor() {
    super();
    this.values = { ...kDefaults };
    let kept = {};
    try { kept = JSON.parse(localStorage.getItem(kName) ?? '{}') ?? {}; } catch { kept = {}; }
    for (const [name, standard] of Object.entries(kDefaults)) {
      const isNumber = standard === null && Number.isFinite(kept[name]);
      if (isNumber || (standard !== null && typeof kept[name] === typeof standard)) this.values[name] = kept[name];
    }
  }

  get(name) { return this.values[name]; }

  set(changes) {
    Object.assign(this.values, changes);
    localStorage.setItem(kName, JSON.stringify(this.values));
    this.emit('change');
  }

  reset() {
    const { model, sidebar } = this.values;
    this.set({ ...kDefaults, model, sidebar });
  }

  // The fields of a request that these settings ask for.
  requestFields() {
    const fields = {};
    for (const { name } of numberFields) if (this.values[name] !== null) fields[name] = this.values[name];
    const stop = this.values.stop.split('\n').filter(line => line !== '');
    if (stop.length) fields.stop = stop;
    const { schema } = readSchema(this.values.schema);
    if (schema) fields.response_format = { type: 'json_schema', json_schema: { name: 'answer', schema } };
    if (!this.values.thinks) fields.reasoning_effort = 'none';
    return fields;
  }
}

export const themes = ['auto', 'light', 'dark'];
export const currentTheme = () => document.documentElement.dataset.theme ?? 'auto';

export function setTheme(theme) {
  localStorage.setItem('turgo.theme', theme);
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
