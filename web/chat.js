// The conversations and the answers under way. Views show what is here and ask for changes; they hear of them by
//   'list' (the conversations) · 'thread' (which messages are seen) · 'message' (one grew: the message) · 'run' (its id)
import { ApiError } from './api.js';
import { contentOf } from './attachments.js';
import { randomId } from './dom.js';
import { Signals } from './signals.js';
import { childrenOf, leafBelow, pathTo, subtree } from './tree.js';

const kTitleLength = 60;
const kSaveMilliseconds = 1000;

function titleOf(message) {
  const line = message.content.slice(0, 1000).trim().split('\n', 1)[0] || message.attachments[0]?.name || '…';
  return line.length > kTitleLength ? line.slice(0, kTitleLength).trimEnd() + '…' : line;
}

export class Chat extends Signals {
  constructor({ store, api, server, settings }) {
    super();
    Object.assign(this, { store, api, server, settings });
    this.conversations = [];
    this.current = null;   // {conversation, messages: Map}; null: a new one that has no message yet
    this.opened = new Map(); // conversation id -> such an entry, of the current one and those that are answered
    this.runs = new Map();   // conversation id -> {message, controller, begun, first, last, count, waits}
  }

  async start(id) {
    await this.reload();
    if (id) await this.select(id);
    else this.emit('thread');
  }

  async reload() {
    const kept = await this.store.conversations();
    this.conversations = kept.map(one => this.opened.get(one.id)?.conversation ?? one); // what is open stays the same object
    this.sort();
  }

  sort() {
    this.conversations.sort((a, b) => b.updated - a.updated);
    this.emit('list');
  }

  // ---- which conversation

  async select(id) {
    const conversation = this.conversations.find(one => one.id === id);
    if (!conversation) return this.startNew();
    if (!this.opened.has(id)) {
      const messages = await this.store.messages(id);
      this.opened.set(id, { conversation, messages: new Map(messages.map(message => [message.id, message])) });
    }
    return this.show(this.opened.get(id));
  }

  startNew() { this.show(null); }

  show(entry) {
    const last = this.current;
    this.current = entry;
    if (last && last !== entry && !this.runs.has(last.conversation.id)) this.opened.delete(last.conversation.id);
    this.emit('list');
    this.emit('thread');
  }

  path() {
    return this.current ? pathTo(this.current.messages, this.current.conversation.leaf) : [];
  }

  run() { return this.current ? this.runs.get(this.current.conversation.id) ?? null : null; }

  // {index, count} of a message among its siblings.
  place(message) {
    const siblings = childrenOf(this.current.messages).get(message.parent ?? null) ?? [message];
    return { index: siblings.indexOf(message), count: siblings.length };
  }

  // ---- changes

  save(entry, messages) {
    return this.store.put(entry.conversation, messages).catch(error => this.emit('trouble', error));
  }

  touch(entry, leaf) {
    entry.conversation.leaf = leaf;
    entry.conversation.updated = Date.now();
  }

  send(content, attachments) {
    const message = { id: randomId(), role: 'user', content, attachments, created: Date.now(), parent: null };
    if (!this.current) {
      const conversation = { id: randomId(), title: titleOf(message), created: Date.now(), updated: Date.now(), leaf: null };
      this.conversations.push(conversation);
      this.current = { conversation, messages: new Map() };
      this.opened.set(conversation.id, this.current);
    }
    message.parent = this.current.conversation.leaf;
    return this.ask(this.current, message);
  }

  // The question again in other words, as a branch beside it.
  edit(id, content) {
    const old = this.current.messages.get(id);
    const message = { ...old, id: randomId(), content, created: Date.now() };
    if (old.role === 'user') return this.ask(this.current, message);
    this.add(this.current, message);
    return this.emit('thread');
  }

  add(entry, message) {
    message.conversation = entry.conversation.id;
    entry.messages.set(message.id, message);
    this.touch(entry, message.id);
    this.sort();
    return this.save(entry, [message]);
  }

  ask(entry, message) {
    this.add(entry, message);
    return this.answer(entry, message.id);
  }

  regenerate(id) {
    return this.answer(this.current, this.current.messages.get(id).parent);
  }

  step(message, by) {
    const entry = this.current;
    const children = childrenOf(entry.messages);
    const siblings = children.get(message.parent ?? null);
    const next = siblings[siblings.indexOf(message) + by];
    if (!next) return;
    entry.conversation.leaf = leafBelow(entry.messages, next.id, children);
    this.save(entry, []);
    this.emit('thread');
  }

  // A message and what follows it; returns what puts it back.
  removeMessage(id) {
    const entry = this.current;
    this.stop();
    const before = entry.conversation.leaf;
    const message = entry.messages.get(id);
    const removed = subtree(entry.messages, id).map(one => entry.messages.get(one));
    for (const one of removed) entry.messages.delete(one.id);
    const siblings = childrenOf(entry.messages).get(message.parent ?? null) ?? [];
    const next = siblings.at(-1);
    entry.conversation.leaf = next ? leafBelow(entry.messages, next.id) : message.parent;
    this.store.removeMessages(removed.map(one => one.id)).catch(error => this.emit('trouble', error));
    this.save(entry, []);
    this.emit('thread');
    return () => {
      for (const one of removed) entry.messages.set(one.id, one);
      entry.conversation.leaf = before;
      this.save(entry, removed);
      if (this.current === entry) this.emit('thread');
    };
  }

  rename(id, title) {
    const conversation = this.conversations.find(one => one.id === id);
    conversation.title = title.trim() || conversation.title;
    this.store.put(conversation, []).catch(error => this.emit('trouble', error));
    this.emit('list');
  }

  async removeConversation(id) {
    this.runs.get(id)?.controller.abort();
    const [kept] = await this.entries([id]);
    await this.store.removeConversation(id);
    this.conversations = this.conversations.filter(one => one.id !== id);
    this.opened.delete(id);
    if (this.current?.conversation.id === id) this.startNew();
    else this.emit('list');
    return () => this.take([kept]);
  }

  // ---- many conversations

  entries(ids) {
    return Promise.all(ids.map(async id => ({
      conversation: this.conversations.find(one => one.id === id),
      messages: this.opened.has(id) ? [...this.opened.get(id).messages.values()] : await this.store.messages(id),
    })));
  }

  async take(list) {
    for (const { conversation, messages } of list) await this.store.put(conversation, messages);
    await this.reload();
  }

  // [{conversation, snippet}] where title or a message holds the text; newest first.
  async search(text) {
    const wanted = text.toLowerCase();
    const snippets = new Map();
    await this.store.eachMessage(message => {
      if (snippets.has(message.conversation)) return;
      const at = message.content.toLowerCase().indexOf(wanted);
      if (at >= 0) snippets.set(message.conversation, message.content.slice(Math.max(0, at - 30), at + wanted.length + 60));
    });
    return this.conversations.filter(one => snippets.has(one.id) || one.title.toLowerCase().includes(wanted))
      .map(conversation => ({ conversation, snippet: snippets.get(conversation.id) ?? '' }));
  }

  // ---- answers

  stop() { this.run()?.controller.abort(); }

  model() {
    const chosen = this.settings.get('model');
    return this.server.find(chosen) || this.server.models.length === 0 ? chosen : this.server.models[0].id;
  }

  async requestBody(entry, parent, model) {
    const path = pathTo(entry.messages, parent);
    const hasImage = path.some(message => message.attachments?.some(one => one.kind === 'image'));
    const canSee = hasImage && (await this.server.abilities(model)).sees;
    const system = this.settings.get('system').trim();
    const messages = path.filter(message => message.role === 'user' || message.content !== '')
      .map(message => ({ role: message.role, content: contentOf(message, canSee) }));
    if (system) messages.unshift({ role: 'system', content: system });
    return { model, messages, ...this.settings.requestFields() };
  }

  async answer(entry, parent) {
    const { id } = entry.conversation;
    this.runs.get(id)?.controller.abort();
    const message = { id: randomId(), conversation: id, parent, role: 'assistant', content: '', reasoning: '',
                      created: Date.now(), model: this.model(), finish: '', error: '', usage: {}, timing: {} };
    const run = { message, controller: new AbortController(), begun: performance.now(), first: 0, last: 0, count: 0,
                  saved: 0, cost: 0 };
    this.runs.set(id, run);
    this.add(entry, message);
    this.emit('thread');
    this.emit('run', id);
    this.server.watch(true);
    try {
      const body = await this.requestBody(entry, parent, message.model);
      for await (const chunk of this.api.chat(body, run.controller.signal)) this.takeChunk(entry, run, chunk);
      message.finish ||= 'stop';
      await this.server.abilities(message.model).catch(() => {}); // for the figures below the answer
    } catch (error) {
      this.endWith(message, error);
    }
    message.timing = { ...message.timing, total: run.last - run.begun };
    if (this.runs.get(id) === run) this.runs.delete(id);
    if (this.conversations.includes(entry.conversation) && entry.messages.has(message.id)) this.save(entry, [message]);
    if (this.current !== entry) this.opened.delete(id);
    this.server.watch(false);
    this.emit('message', message);
    this.emit('run', id);
  }

  endWith(message, error) {
    if (error.name === 'AbortError') message.finish = 'stopped';
    else {
      message.finish = 'error';
      message.error = error instanceof ApiError ? error.message : '';  // '': the connection
      if (!(error instanceof ApiError) || error.status === 401) this.server.lost(error);
    }
  }

  takeChunk(entry, run, chunk) {
    const { message } = run;
    if (chunk.usage) {
      message.usage = { prompt_tokens: chunk.usage.prompt_tokens, completion_tokens: chunk.usage.completion_tokens,
                        cached_tokens: chunk.usage.prompt_tokens_details?.cached_tokens ?? 0 };
    }
    const choice = chunk.choices?.[0];
    if (!choice) return;
    const { content = '', reasoning_content: reasoning = '' } = choice.delta ?? {};
    if (choice.finish_reason) message.finish = choice.finish_reason;
    if (!content && !reasoning) return;
    run.last = performance.now();
    run.count += 1;
    if (!run.first) {
      run.first = run.last;
      message.timing.first = run.first - run.begun;
      this.server.watch(false);
    }
    if (content && message.reasoning && !message.content) message.timing.thinking = run.last - run.first;
    message.content += content;
    message.reasoning += reasoning;
    this.emit('message', message);
    this.saveNow(entry, run);
  }

  // Now and then, so that a closed tab loses little; less often where a message is so long that it takes time.
  async saveNow(entry, run) {
    const now = performance.now();
    if (run.isSaving || now - run.saved < Math.max(kSaveMilliseconds, 20 * run.cost)) return;
    run.isSaving = true;
    await this.save(entry, [run.message]);
    run.saved = performance.now();
    run.cost = run.saved - now;
    run.isSaving = false;
  }
}
