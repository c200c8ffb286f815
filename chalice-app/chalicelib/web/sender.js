// Sends messages, one at a time in each conversation so that their order holds, again where that may help.
// A repeat carries the same client id, so it is harmless. Draws nothing.

import { Refused, send } from './api.js';

export class Sender {
  /** `changed(id)` is called after each change of a message's state. */
  constructor(unlisted, changed) {
    this.unlisted = unlisted;
    this.changed = changed;
    this.busy = new Set();
  }

  /** Sends all that wait in a conversation. */
  async flush(id) {
    if (this.busy.has(id)) return;
    this.busy.add(id);
    try {
      let entry;
      while ((entry = this.unlisted.of(id).find((each) => each.state === 'sending'))) {
        await this.deliver(id, entry);
        this.changed(id);
      }
    } finally {
      this.busy.delete(id);
    }
  }

  /** Sends a message again on the visitor's wish. */
  retry(id, clientId) {
    const entry = this.unlisted.of(id).find((each) => each.client_id === clientId);
    if (entry) this.unlisted.mark(id, entry, 'sending');
    this.changed(id);
    return this.flush(id);
  }

  /** Sends again, everywhere, what only the connection kept back. */
  resume() {
    for (const id of this.unlisted.conversations()) {
      const kept = this.unlisted.of(id).filter((entry) => entry.state === 'unsent' && entry.again);
      for (const entry of kept) this.unlisted.mark(id, entry, 'sending');
      this.changed(id);
      this.flush(id);
    }
  }

  async deliver(id, entry) {
    try {
      await send(id, entry);
      this.unlisted.mark(id, entry, 'queued');
    } catch (error) {
      const refused = error instanceof Refused;
      this.unlisted.mark(id, entry, 'unsent', refused ? error.message : 'unreachable', !refused);
      // What was written later must not overtake it.
      if (!refused) this.holdBack(id);
    }
  }

  holdBack(id) {
    for (const entry of this.unlisted.of(id)) {
      if (entry.state === 'sending') this.unlisted.mark(id, entry, 'unsent', 'unreachable', true);
    }
  }
}
