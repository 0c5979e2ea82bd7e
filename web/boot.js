// Before the first paint: the theme and language that were chosen last, so that nothing flashes.
{
  const theme = localStorage.getItem('turgo.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  const language = localStorage.getItem('turgo.language') || navigator.language;
  document.documentElement.lang = language.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en';
}
