// The page at /docs: a reader for openapi.json in plain HTML and script, without anything from elsewhere. All
// text goes in as text, never as markup.
#include "serve/openapi/openapi.h"

namespace turgo {

const std::string& docs_page() {
  static const std::string page = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'">
<title>Turgo: the API</title><style>
:root { color-scheme: light dark; --line: #8884; --dim: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre, textarea { font: 13px/1.45 ui-monospace, monospace; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: 0 .8rem; }
summary { cursor: pointer; padding: .5rem 0; } summary b { display: inline-block; min-width: 4.5em; }
summary span { color: var(--dim); margin-left: 1em; }
table { border-collapse: collapse; width: 100%; } td { border-top: 1px solid var(--line); padding: .2rem .6rem .2rem 0;
 vertical-align: top; } td:last-child { color: var(--dim); overflow-wrap: anywhere; }
textarea { width: 100%; min-height: 6rem; box-sizing: border-box; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
input { width: 24rem; max-width: 100%; }
</style></head><body><h1>Turgo</h1><p id="about"></p>
<p><label>Key: <input id="key" type="password" placeholder="only where the server wants one"></label></p>
<div id="routes"></div><script>
const make = (tag, text, ...inside) => {
  const element = document.createElement(tag);
  if (text !== null) element.textContent = text;
  element.append(...inside);
  return element;
};
const headers = () => {
  const key = document.getElementById('key').value;
  return {'Content-Type': 'application/json', ...(key ? {Authorization: 'Bearer ' + key} : {})};
};
const kind = schema => {
  if (schema.enum) return schema.enum.map(value => JSON.stringify(value)).join(' | ');
  if (schema.anyOf) return schema.anyOf.filter(one => one.type !== 'null').map(kind).join(' or ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  let text = [].concat(schema.type || 'any').filter(one => one !== 'null').join(' or ');
  if (schema.items) text += ' of ' + kind(schema.items);
  if (schema.properties) text += ' {' + Object.keys(schema.properties).join(', ') + '}';
  if (schema.minimum !== undefined) text += ' ' + schema.minimum + ' … ' + schema.maximum;
  return text;
};
const fields = schema => {
  const table = make('table', null);
  for (const [name, one] of Object.entries(schema.properties || {})) {
    const row = make('tr', null, make('td', null, make('code', name)), make('td', kind(one)));
    if ((schema.required || []).includes(name)) row.firstChild.append(' *');
    table.append(row);
  }
  return table;
};
const example = schema => {
  const out = {};
  for (const name of schema.required || []) {
    const text = kind(schema.properties[name]);
    out[name] = name === 'messages' ? [{role: 'user', content: 'Hello!'}] : /^(integer|number)/.test(text) ? 16
      : /^array/.test(text) ? [] : 'Hello';
  }
  return JSON.stringify(out, null, 1);
};
const trial = (root, path, method, schema) => {
  const url = make('input', null), body = make('textarea', null), out = make('pre', ''), go = make('button', 'Send');
  url.value = path;
  if (schema) body.value = example(schema);
  go.onclick = async () => {
    out.textContent = '…';
    try {
      const answer = await fetch(root + url.value,
        {method: method.toUpperCase(), headers: headers(), body: schema ? body.value : undefined});
      out.textContent = answer.status + '\n' + await answer.text();
    } catch (error) { out.textContent = String(error); }
  };
  return make('div', null, url, ...(schema ? [body] : []), make('p', null, go), out);
};
const show = async () => {
  const answer = await fetch('openapi.json', {headers: headers()});
  const about = document.getElementById('about'), routes = document.getElementById('routes');
  if (!answer.ok) { about.textContent = 'This server wants a key: ' + answer.status; return; }
  const api = await answer.json();
  about.textContent = api.info.description + ' Version ' + api.info.version + '.';
  routes.replaceChildren();
  for (const [path, item] of Object.entries(api.paths))
    for (const [method, one] of Object.entries(item)) {
      const schema = one.requestBody && one.requestBody.content['application/json'].schema;
      const box = make('details', null,
        make('summary', null, make('b', method.toUpperCase()), make('code', path), make('span', one.summary)));
      box.ontoggle = () => {
        if (box.children.length > 1) return;
        if (schema) box.append(fields(schema));
        box.append(trial(location.origin, path, method, schema));
      };
      routes.append(box);
    }
};
document.getElementById('key').onchange = show;
show();
</script></body></html>
)html";
  return page;
}

}  // namespace turgo
