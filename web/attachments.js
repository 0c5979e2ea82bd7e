// Files for a message: text goes into the prompt, pictures to models that see. {kind: 'text' | 'image', name, data}:
// data is the text, or a data: URL.

const kMaxText = 2_000_000;   // bytes; the server takes requests of 8 MiB
const kMaxImage = 5_000_000;
const kImages = ['image/png', 'image/jpeg', 'image/webp', 'image/gif'];

export class AttachmentError extends Error {
  constructor(reason, name) {
    super(reason);
    this.reason = reason; // a name in dictionary.js
    this.name = name;
  }
}

function readDataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

// Throws AttachmentError.
export async function readAttachment(file) {
  if (kImages.includes(file.type)) {
    if (file.size > kMaxImage) throw new AttachmentError('file_too_large', file.name);
    return { kind: 'image', name: file.name, data: await readDataUrl(file) };
  }
  if (file.size > kMaxText) throw new AttachmentError('file_too_large', file.name);
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new AttachmentError('file_not_text', file.name);
  }
  if (text.includes('\0')) throw new AttachmentError('file_not_text', file.name);
  return { kind: 'text', name: file.name, data: text.replaceAll('\r\n', '\n') };
}

// A fence that no line of the text ends.
function fenceFor(text) {
  let longest = 2;
  for (const run of text.matchAll(/`{3,}/g)) longest = Math.max(longest, run[0].length);
  return '`'.repeat(longest + 1);
}

// A message's content for the server. Pictures are left out where the model does not see.
export function contentOf(message, canSee) {
  const attachments = message.attachments ?? [];
  const files = attachments.filter(one => one.kind === 'text').map(one => {
    const fence = fenceFor(one.data);
    return `${one.name}:\n${fence}\n${one.data}\n${fence}\n\n`;
  });
  const text = files.join('') + message.content;
  const images = canSee ? attachments.filter(one => one.kind === 'image') : [];
  if (images.length === 0) return text;
  return [...images.map(one => ({ type: 'image_url', image_url: { url: one.data } })), { type: 'text', text }];
}
