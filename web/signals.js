// Who wants to know of what: on(name, f) returns the function that ends it.
export class Signals {
  constructor() { this.listeners = new Map(); }

  on(name, f) {
    if (!this.listeners.has(name)) this.listeners.set(name, new Set());
    this.listeners.get(name).add(f);
    return () => this.listeners.get(name).delete(f);
  }

  emit(name, value) {
    for (const f of [...this.listeners.get(name) ?? []]) f(value);
  }
}
