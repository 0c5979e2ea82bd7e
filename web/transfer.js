// Conversations to a JSON file and back. A file is a stranger's: each field is checked and copied by name, what is more
// is left. llama.cpp's exports are read too.
//   {"format": "turgo-conversations", "version": 1, "conversations": [{title, created, updated, leaf, messages: […]}]}
import { randomId } from './dom.js';
import { isForest, leafBelow, subtree } from './tree.js';

const kFormat = 'turgo-conversations';

export class ImportError extends Error {}

function parentsFirst(messages) {
  const byId = new Map(messages.map(message => [message.id, message]));
  return subtree(byId, null).slice(1).map(id => byId.get(id));
}

export function exportText(list) {
  return JSON.stringify({
    format: kFormat,
    version: 1,
    conversations: list.map(({ conversation, messages }) => ({
      ...conversation,
      messages: parentsFirst(messages).map(({ conversation: _, ...rest }) => rest),
    })),
  }, null, 1);
}

const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value);
const text = value => (typeof value === 'string' ? value : '');
const time = value => (Number.isFinite(value) && value > 0 && value < 8e15 ? value : Date.now());

function readAttachment(one) {
  if (!isObject(one)) return [];
  const kind = one.kind === 'image' ? 'image' : 'text';
  const data = text(one.data);
  if (kind === 'image' && !/^data:image\/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]*$/.test(data)) return [];
  return [{ kind, name: text(one.name).slice(0, 200), data }];
}

function readNumbers(object, names) {
  return Object.fromEntries(names.flatMap(name => (Number.isFinite(object?.[name]) ? [[name, object[name]]] : [])));
}

function readMessage(one) {
  const isGood = isObject(one) && typeof one.id === 'string' && (one.role === 'user' || one.role === 'assistant')
    && typeof one.content === 'string' && (one.parent === null || typeof one.parent === 'string');
  if (!isGood) throw new ImportError('a message without id, role, content or parent');
  return {
    id: one.id, parent: one.parent, role: one.role, content: one.content, created: time(one.created),
    reasoning: text(one.reasoning), model: text(one.model).slice(0, 200), finish: text(one.finish).slice(0, 40),
    error: text(one.error).slice(0, 2000),
    attachments: (Array.isArray(one.attachments) ? one.attachments : []).flatMap(readAttachment),
    usage: readNumbers(one.usage, ['prompt_tokens', 'completion_tokens', 'cached_tokens']),
    timing: readNumbers(one.timing, ['first', 'total', 'thinking']),
  };
}

// llama.cpp: {conv: {id, name, lastModified, currNode}, messages: [{id, type, role, content, parent, timestamp, …}]}
function fromLlamaCpp({ conv, messages }) {
  const roots = new Set(messages.filter(m => m.type === 'root' || m.role === 'system').map(m => m.id));
  const parentOf = new Map(messages.map(m => [m.id, m.parent]));
  const visibleParent = id => {
    for (let hops = 0; roots.has(id) && hops < 100; ++hops) id = parentOf.get(id);
    return id === undefined || id === '' || id === '-1' ? null : id;
  };
  return {
    title: conv.name, updated: conv.lastModified, leaf: conv.currNode,
    messages: messages.filter(m => !roots.has(m.id)).map(m => ({
      ...m, parent: visibleParent(m.parent ?? null), created: m.timestamp, reasoning: m.reasoningContent ?? m.thinking ?? '',
      attachments: (Array.isArray(m.extra) ? m.extra : []).filter(isObject).map(extra => ({
        kind: extra.base64Url ? 'image' : 'text', name: extra.name, data: extra.base64Url ?? extra.content })),
    })),
  };
}

function readConversation(one) {
  if (!isObject(one) || !Array.isArray(one.messages)) throw new ImportError('a conversation without messages');
  if (isObject(one.conv) && one.messages.every(isObject)) one = fromLlamaCpp(one);
  const read = one.messages.map(readMessage);
  const byOldId = new Map(read.map(message => [message.id, message]));
  if (byOldId.size !== read.length) throw new ImportError('two messages of one id');
  if (!isForest(byOldId)) throw new ImportError('messages that are no tree');
  const id = randomId();
  const newIds = new Map(read.map(message => [message.id, randomId()]));
  const messages = read.map(message => ({ ...message, id: newIds.get(message.id), conversation: id,
                                          parent: message.parent === null ? null : newIds.get(message.parent) }));
  const byId = new Map(messages.map(message => [message.id, message]));
  const conversation = { id, title: text(one.title).slice(0, 300) || '…', created: time(one.created),
                         updated: time(one.updated), leaf: newIds.get(one.leaf) ?? leafBelow(byId, null) };
  return { conversation, messages };
}

// [{conversation, messages}] with fresh ids. Throws ImportError.
export function importText(source) {
  let json;
  try { json = JSON.parse(source); } catch { throw new ImportError('no JSON'); }
  const list = Array.isArray(json) ? json : isObject(json) && json.format === kFormat ? json.conversations
    : isObject(json) && isObject(json.conv) ? [json] : null;
  if (!Array.isArray(list)) throw new ImportError(`expected "format": "${kFormat}"`);
  return list.map(readConversation);
}
