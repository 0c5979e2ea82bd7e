// Server-sent events out of pieces of text: the data of each whole event, in time linear in the text however long a
// line is and wherever it is cut.
export class EventReader {
  constructor() { this.pieces = []; }

  // The data of the events that end in this piece.
  add(piece) {
    const events = [];
    for (let at = 0; at < piece.length;) {
      const end = piece.indexOf('\n', at);
      this.pieces.push(end < 0 ? piece.slice(at) : piece.slice(at, end));
      if (end < 0) break;
      const line = this.pieces.join('');
      this.pieces = [];
      at = end + 1;
      if (line.startsWith('data:')) events.push(line.slice(5).trim());
    }
    return events;
  }
}
