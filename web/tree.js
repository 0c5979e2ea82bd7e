// A conversation is a tree of messages {id, parent, created, …}: an edit or another answer is a sibling, and what one
// sees is the path from a root to a leaf. Pure functions over a Map of id -> message.

export function childrenOf(messages) {
  const children = new Map();
  for (const message of messages.values()) {
    const parent = message.parent ?? null;
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(message);
  }
  for (const list of children.values()) list.sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
  return children;
}

// Root first. Ends at a parent that is not there.
export function pathTo(messages, id) {
  const path = [];
  const seen = new Set();
  for (let message = messages.get(id); message && !seen.has(message.id); message = messages.get(message.parent)) {
    seen.add(message.id);
    path.push(message);
  }
  return path.reverse();
}

// The end of the newest branch below a message.
export function leafBelow(messages, id, children = childrenOf(messages)) {
  for (let list = children.get(id); list; list = children.get(id)) id = list[list.length - 1].id;
  return id;
}

// A message and everything below it, each behind its parent; null: all.
export function subtree(messages, id) {
  const children = childrenOf(messages);
  const found = [id];
  for (let i = 0; i < found.length; ++i) for (const child of children.get(found[i]) ?? []) found.push(child.id);
  return found;
}

// Every parent is there and comes before its child on the way to a root.
export function isForest(messages) {
  const good = new Set();
  for (const message of messages.values()) {
    const way = new Set();
    let one = message;
    for (; one && !good.has(one.id); one = one.parent === null ? null : messages.get(one.parent)) {
      if (way.has(one.id)) return false;
      if (one.parent !== null && !messages.has(one.parent)) return false;
      way.add(one.id);
    }
    for (const id of way) good.add(id);
  }
  return true;
}
