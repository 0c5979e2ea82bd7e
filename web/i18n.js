// The page's language: English or Chinese, the browser's unless one was chosen. t(name, values) is a text of
// dictionary.js with its {names} filled in.
import { dictionary } from './dictionary.js';

let language = document.documentElement.lang.startsWith('zh') ? 'zh' : 'en';

export const languages = { en: 'English', zh: '中文' };
export const currentLanguage = () => language;
export const locale = () => (language === 'zh' ? 'zh-CN' : 'en');

export function setLanguage(name) {
  language = name;
  localStorage.setItem('turgo.language', locale());
  document.documentElement.lang = locale();
}

export function t(name, values = {}) {
  const text = dictionary[name]?.[language === 'zh' ? 1 : 0];
  if (text === undefined) throw new Error(`dictionary.js has no ${name}`);
  return text.replaceAll(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

export const formatNumber = (value, digits = 0) =>
  new Intl.NumberFormat(locale(), { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);

export function formatBytes(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let value = bytes;
  for (; value >= 1000 && unit < units.length - 1; ++unit) value /= 1000;
  return `${formatNumber(value, unit > 0 && value < 10 ? 1 : 0)} ${units[unit]}`;
}

export const formatTime = time => new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'short' }).format(time);
