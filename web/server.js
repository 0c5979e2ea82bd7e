// What the server is doing: whether it answers, and which models it has in which state. Asks now and then, more often
// while a model loads; an offline server is asked again after 1, 2, 4, 8 … 15 s.
//   'state': 'connecting', 'online', 'offline' or 'locked' (it wants a key) · 'models'
import { ApiError } from './api.js';
import { Signals } from './signals.js';

const kIdleSeconds = 30;
const kLoadingSeconds = 0.7;
const kMaxRetrySeconds = 15;

export class Server extends Signals {
  constructor(api) {
    super();
    this.api = api;
    this.state = 'connecting';
    this.models = [];
    this.error = '';
    this.failures = 0;
    this.nextTry = 0;      // performance.now() of it
    this.known = new Map(); // model -> its abilities
    this.timer = 0;
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.refresh(); });
    addEventListener('online', () => this.refresh());
  }

  find(id) { return this.models.find(model => model.id === id); }

  async refresh() {
    clearTimeout(this.timer);
    try {
      const models = await this.api.models(AbortSignal.timeout(10_000));
      this.failures = 0;
      if (JSON.stringify(models) !== JSON.stringify(this.models)) {
        this.models = models;
        this.emit('models');
      }
      this.setState('online');
    } catch (error) {
      this.failed(error);
    }
    this.schedule();
  }

  // Any request may find out that the server has gone.
  failed(error) {
    const isRefused = error instanceof ApiError;
    this.error = error.message;
    if (isRefused && error.status !== 401 && error.status < 500) return this.setState('online');
    if (isRefused && error.status === 401) return this.setState('locked');
    ++this.failures;
    return this.setState('offline');
  }

  lost(error) {
    this.failed(error);
    this.schedule();
  }

  schedule() {
    clearTimeout(this.timer);
    if (this.state === 'locked') return;
    const isLoading = this.models.some(model => model.state === 'loading');
    const seconds = this.state === 'offline' ? Math.min(kMaxRetrySeconds, 2 ** (this.failures - 1))
      : isLoading || this.isWaiting ? kLoadingSeconds : kIdleSeconds;
    this.nextTry = performance.now() + seconds * 1000;
    this.timer = setTimeout(() => {
      if (document.hidden && this.state === 'online') this.schedule();
      else this.refresh();
    }, seconds * 1000);
    if (this.state === 'offline') this.emit('state', this.state);
  }

  setState(state) {
    const isNew = state !== this.state;
    this.state = state;
    if (isNew) this.emit('state', state);
  }

  // While an answer's first token is waited for, the states of the models are of interest.
  watch(isWaiting) {
    if (this.isWaiting === isWaiting) return;
    this.isWaiting = isWaiting;
    this.refresh();
  }

  async load(id) {
    const known = this.find(id);
    if (known) known.state = 'loading';
    this.emit('models');
    this.schedule();
    try {
      await this.api.load(id);
    } finally {
      await this.refresh();
    }
  }

  async unload(id) {
    try {
      await this.api.unload(id);
    } finally {
      await this.refresh();
    }
  }

  // What a loaded model can: {sees: it takes pictures, context: tokens}.
  async abilities(id) {
    if (!this.known.has(id)) {
      const props = await this.api.props(id);
      const context = props?.default_generation_settings?.n_ctx ?? 0;
      this.known.set(id, { sees: props?.modalities?.vision === true, context });
    }
    return this.known.get(id);
  }
}
