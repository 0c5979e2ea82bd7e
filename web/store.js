// Conversations in this browser: IndexedDB, or memory where the browser gives none (then isKept is false).
//   conversation {id, title, created, updated, leaf}
//   message {id, conversation, parent, created, role, content, …}

const kName = 'turgo';

const promised = request => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

function open() {
  const request = indexedDB.open(kName, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore('conversations', { keyPath: 'id' });
    request.result.createObjectStore('messages', { keyPath: 'id' }).createIndex('conversation', 'conversation');
  };
  return promised(request);
}

class KeptStore {
  constructor(database) { this.database = database; }
  get isKept() { return true; }

  async run(mode, work) {
    const transaction = this.database.transaction(['conversations', 'messages'], mode);
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new Error('the browser kept nothing'));
    });
    const result = await work(transaction.objectStore('conversations'), transaction.objectStore('messages'));
    await done;
    return result;
  }

  conversations() { return this.run('readonly', conversations => promised(conversations.getAll())); }
  messages(id) { return this.run('readonly', (_, messages) => promised(messages.index('conversation').getAll(id))); }

  put(conversation, messages) {
    return this.run('readwrite', (conversationStore, messageStore) => {
      if (conversation) conversationStore.put(conversation);
      for (const message of messages) messageStore.put(message);
    });
  }

  removeMessages(ids) {
    return this.run('readwrite', (_, messages) => { for (const id of ids) messages.delete(id); });
  }

  removeConversation(id) {
    return this.run('readwrite', async (conversations, messages) => {
      const keys = await promised(messages.index('conversation').getAllKeys(id));
      for (const key of keys) messages.delete(key);
      conversations.delete(id);
    });
  }

  // visit(message) for all, one in memory at a time.
  eachMessage(visit) {
    return this.run('readonly', (_, messages) => new Promise((resolve, reject) => {
      const request = messages.openCursor();
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        if (!request.result) return resolve();
        visit(request.result.value);
        return request.result.continue();
      };
    }));
  }
}

class MemoryStore {
  constructor() { this.kept = { conversations: new Map(), messages: new Map() }; }
  get isKept() { return false; }

  async conversations() { return structuredClone([...this.kept.conversations.values()]); }
  async messages(id) { return structuredClone([...this.kept.messages.values()].filter(m => m.conversation === id)); }
  async put(conversation, messages) {
    if (conversation) this.kept.conversations.set(conversation.id, structuredClone(conversation));
    for (const message of messages) this.kept.messages.set(message.id, structuredClone(message));
  }
  async removeMessages(ids) { for (const id of ids) this.kept.messages.delete(id); }
  async removeConversation(id) {
    await this.removeMessages((await this.messages(id)).map(message => message.id));
    this.kept.conversations.delete(id);
  }
  async eachMessage(visit) { for (const message of this.kept.messages.values()) visit(message); }
}

export async function openStore() {
  try {
    return new KeptStore(await open());
  } catch (error) {
    console.info('conversations are not kept:', error?.message ?? error);
    return new MemoryStore();
  }
}
