// The server's interface: every call goes to the page's own origin, with the key, if there is one, in a header. The key
// stays in this browser: for the tab, or until it is forgotten.
import { EventReader } from './sse.js';

const kKey = 'turgo.key';

// What the server refused.
export class ApiError extends Error {
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// No answer, or one that broke off.
export class ConnectionError extends Error {}

async function errorOf(response) {
  const body = await response.text().catch(() => '');
  let error;
  try { error = JSON.parse(body).error; } catch { error = null; }
  const message = typeof error?.message === 'string' ? error.message : body.slice(0, 300) || response.statusText;
  return new ApiError(response.status, message, error?.code ?? '');
}

export class Api {
  constructor() { this.key = sessionStorage.getItem(kKey) ?? localStorage.getItem(kKey) ?? ''; }

  setKey(key, isRemembered) {
    this.key = key;
    for (const storage of [sessionStorage, localStorage]) storage.removeItem(kKey);
    if (key) (isRemembered ? localStorage : sessionStorage).setItem(kKey, key);
  }

  async send(path, body, signal) {
    const headers = this.key ? { Authorization: `Bearer ${this.key}` } : {};
    if (body) headers['Content-Type'] = 'application/json';
    let response;
    try {
      const method = body ? 'POST' : 'GET';
      response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, cache: 'no-store' });
    } catch (error) {
      if (error.name === 'AbortError' || error.name === 'TimeoutError') throw error;
      throw new ConnectionError(error.message);
    }
    if (!response.ok) throw await errorOf(response);
    return response;
  }

  async json(path, body, signal) {
    const response = await this.send(path, body, signal);
    try { return await response.json(); } catch { throw new ConnectionError(`${path} is no JSON`); }
  }

  async models(signal) {
    const { data } = await this.json('v1/models', undefined, signal);
    return data.map(model => ({ id: model.id, state: model.status?.value ?? 'loaded', size: model.size ?? 0 }));
  }

  load(model) { return this.json('models/load', { model }); }
  unload(model) { return this.json('models/unload', { model }); }
  props(model) { return this.json(`props?model=${encodeURIComponent(model)}`); }

  // The chunks of a streamed answer. Throws ApiError, ConnectionError, AbortError.
  async* chat(body, signal) {
    const asked = { ...body, stream: true, stream_options: { include_usage: true } };
    const response = await this.send('v1/chat/completions', asked, signal);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const events = new EventReader();
    let isWhole = false;
    for (;;) {
      const { done, value } = await reader.read().catch(error => {
        throw error.name === 'AbortError' ? error : new ConnectionError(error.message);
      });
      if (done) break;
      for (const data of events.add(value)) {
        if (data === '[DONE]') { isWhole = true; continue; }
        const chunk = parseChunk(data);
        if (chunk.error) throw new ApiError(200, String(chunk.error.message ?? ''), chunk.error.code);
        yield chunk;
      }
    }
    if (!isWhole) throw new ConnectionError('the answer broke off');
  }
}

function parseChunk(data) {
  try {
    const chunk = JSON.parse(data);
    if (typeof chunk === 'object' && chunk !== null) return chunk;
  } catch { /* reported below, as what is no object */ }
  throw new ConnectionError('the server sent no JSON');
}
