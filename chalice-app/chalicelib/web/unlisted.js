// Messages that the visitor sent and the server does not list yet: still being sent, in the inbox, or failed to go.
// Kept in the browser's storage, so that a reload loses none. Sends nothing itself.

const PREFIX = 'parley.unlisted.';
const LOST_AFTER_MS = 300_000;

/** By conversation, in the order they were written: {client_id, text, created (ms), state, error, again}. */
export class Unlisted {
  constructor(storage = window.localStorage) {
    this.storage = storage;
    this.entries = new Map();
    for (const key of Object.keys(storage)) {
      const kept = key.startsWith(PREFIX) ? read(storage, key) : [];
      if (kept.length) this.entries.set(key.slice(PREFIX.length), kept);
    }
  }

  /** The ids of conversations that have some. */
  conversations() {
    return [...this.entries.keys()];
  }

  of(id) {
    return this.entries.get(id) ?? [];
  }

  add(id, text) {
    const entry = { client_id: uuid(), text, created: Date.now(), state: 'sending', error: null, again: false };
    this.entries.set(id, [...this.of(id), entry]);
    this.keep(id);
  }

  /** `state` is `sending`, `queued` or `unsent`; `again` is whether it goes out by itself once there is a connection. */
  mark(id, entry, state, error = null, again = false) {
    Object.assign(entry, { state, error, again });
    this.keep(id);
  }

  /** Forgets what the server lists by now; what was queued for very long without being listed counts as lost. */
  settle(id, listed) {
    const left = this.of(id).filter((entry) => !listed.has(entry.client_id));
    for (const entry of left) {
      const lost = entry.state === 'queued' && Date.now() - entry.created > LOST_AFTER_MS;
      if (lost) Object.assign(entry, { state: 'unsent', error: 'lost' });
    }
    this.entries.set(id, left);
    this.keep(id);
  }

  forget(id) {
    this.entries.delete(id);
    this.keep(id);
  }

  keep(id) {
    if (!this.of(id).length) this.entries.delete(id);
    try {
      if (this.entries.has(id)) this.storage.setItem(PREFIX + id, JSON.stringify(this.of(id)));
      else this.storage.removeItem(PREFIX + id);
    } catch {
      // Storage is full or forbidden: the messages then live as long as the page does, which is enough to send them.
    }
  }
}

function read(storage, key) {
  try {
    const kept = JSON.parse(storage.getItem(key));
    return Array.isArray(kept) ? kept.filter((entry) => typeof entry?.text === 'string') : [];
  } catch {
    return []; // not ours, or cut off: there is no message to save in it
  }
}

/** A random UUID, also where the browser has no `randomUUID` (a plain http address). */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
