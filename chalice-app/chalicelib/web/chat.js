// What the page does: opens, sends, stops, deletes, and keeps what is shown equal to what the server has.
// The one place that knows both the server's side and the views.

import { announce } from './announcer.js';
import * as api from './api.js';
import { Connection } from './connection.js';
import { Conversation } from './conversation.js';
import { Poller } from './poller.js';
import { Sender } from './sender.js';
import { t } from './strings.js';
import { Unlisted, uuid } from './unlisted.js';

const LIST_EVERY_MS = 3000;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export class Chat {
  /** `view`: show(chat), showEarlier(chat), confirmRemoval(entry), leave(id). */
  constructor(view, banner) {
    this.view = view;
    this.entries = [];
    this.listedAt = 0;
    this.isStale = true;
    this.cache = new Map();
    this.rated = Promise.resolve();
    this.unlisted = new Unlisted();
    this.sender = new Sender(this.unlisted, (id) => this.sent(id));
    this.poller = new Poller(() => this.look());
    this.connection = new Connection(banner, () => this.loadList(), () => this.restored());
    api.watchers.add(this.connection);
    window.addEventListener('hashchange', () => this.route());
    window.addEventListener('popstate', () => this.route());
    document.addEventListener('visibilitychange', () => document.hidden || this.freshen());
  }

  start() {
    this.route();
    this.sender.resume();
    for (const id of this.unlisted.conversations()) this.sender.flush(id);
  }

  // -- which conversation

  /** Opens what the address names. */
  route() {
    const id = location.hash.slice(1);
    if (this.open && (this.isNew ? '' : this.open.id) === id) return;
    this.isNew = !ID.test(id);
    if (this.isNew && id) history.replaceState(null, '', location.pathname);
    this.open = this.isNew ? new Conversation(uuid()) : this.conversation(id);
    this.view.show(this, { opened: true });
    this.freshen();
  }

  go(id) {
    history.pushState(null, '', id ? `#${id}` : location.pathname + location.search);
    this.route();
  }

  conversation(id) {
    if (!this.cache.has(id)) this.cache.set(id, new Conversation(id));
    return this.cache.get(id);
  }

  /** The name that the open conversation's draft is kept under. */
  get draft() {
    return this.isNew ? '' : this.open.id;
  }

  get title() {
    return this.isNew ? '' : titleOf(this.open.title, this.entry(this.open.id)?.title, this.unlisted.of(this.open.id));
  }

  entry(id) {
    return this.entries.find((entry) => entry.id === id);
  }

  /** Rows of the open conversation. */
  rows() {
    return this.open.rows(this.unlisted.of(this.open.id));
  }

  /** All conversations for the list, also those that the server does not know yet. */
  all() {
    const unknown = this.unlisted.conversations().filter((id) => !this.entry(id));
    const own = unknown.map((id) => ({ id, title: '', updated: this.unlisted.of(id).at(-1).created / 1000 }));
    return [...own, ...this.entries].map((entry) => ({
      ...entry,
      title: titleOf(this.cache.get(entry.id)?.title, entry.title, this.unlisted.of(entry.id)),
      isBusy: entry.id === this.open.id ? this.isWaiting() : entry.status === 'thinking',
    }));
  }

  // -- what the visitor does

  send(text) {
    if (this.isNew) {
      this.isNew = false;
      this.cache.set(this.open.id, this.open);
      history.pushState(null, '', `#${this.open.id}`);
    }
    this.open.state = 'known';
    this.unlisted.add(this.open.id, text);
    this.view.show(this, { said: true });
    this.sender.flush(this.open.id);
  }

  retry(clientId) {
    this.sender.retry(this.open.id, clientId);
  }

  async stop() {
    const conversation = this.open;
    conversation.stopping = conversation.turn.number;
    this.view.show(this);
    const stopping = await api.cancel(conversation.id).catch(() => false);
    if (!stopping) {
      conversation.stopping = null;
      announce(t.nothingToStop);
    }
    this.freshen();
  }

  /** Shown at once; what the server does not take is shown as it was. */
  async rate(sequence, rating) {
    const conversation = this.open;
    const before = conversation.rate(sequence, rating);
    this.view.show(this);
    const sending = this.rated.then(() => api.rate(conversation.id, sequence, rating)); // the last press counts
    this.rated = sending.catch(() => {});
    const isKept = await sending.then(() => true, () => false);
    conversation.rate(sequence, isKept ? rating : before); // a look that was under way may have brought the old one
    if (conversation === this.open) this.view.show(this);
    if (isKept) return;
    announce(t.notRated);
    this.freshen();
  }

  async loadEarlier() {
    const conversation = this.open;
    try {
      conversation.receiveEarlier(await api.history(conversation.id, conversation.listed[0].sequence));
    } catch {
      return; // the connection says so by itself, and the button is still there
    }
    if (conversation === this.open) this.view.showEarlier(this);
  }

  async remove(entry) {
    if (!(await this.view.confirmRemoval(entry))) return;
    try {
      await api.remove(entry.id);
    } catch (error) {
      if (error.status !== 404) return announce(t.notRemoved);
    }
    this.forget(entry.id);
    announce(t.removed);
  }

  forget(id) {
    this.view.leave(id, id === this.open.id);
    this.cache.delete(id);
    this.unlisted.forget(id);
    this.entries = this.entries.filter((entry) => entry.id !== id);
    if (id !== this.open.id) return this.view.show(this);
    history.replaceState(null, '', location.pathname + location.search);
    return this.route();
  }

  // -- what the server has

  /** Looks again at everything that is shown. */
  freshen() {
    this.isStale = true;
    this.listedAt = 0;
    this.poller.wake();
  }

  restored() {
    this.sender.resume();
    this.freshen();
  }

  sent(id) {
    if (id === this.open.id) this.view.show(this);
    this.poller.wake();
  }

  isWaiting() {
    return this.open.isWaiting(this.unlisted.of(this.open.id));
  }

  isOtherBusy() {
    return this.entries.some((entry) => entry.status === 'thinking' && entry.id !== this.open.id);
  }

  /** One look of the poller. */
  async look() {
    try {
      const changed = await this.refresh();
      const listIsOld = Date.now() - this.listedAt > LIST_EVERY_MS;
      if (changed || (listIsOld && (this.isOtherBusy() || !this.listedAt))) await this.loadList();
      return { waiting: this.isWaiting() || this.isOtherBusy(), changed };
    } catch (error) {
      if (error instanceof api.Unreachable || error instanceof api.Refused) return null;
      throw error;
    }
  }

  /** Fetches the open conversation where that may show something new; whether it did. */
  async refresh() {
    const conversation = this.open;
    if (this.isNew || (!this.isStale && !this.isWaiting())) return false;
    this.isStale = false;
    const before = JSON.stringify([conversation.turn, conversation.listed.at(-1)?.sequence]);
    const first = conversation.state === 'unknown';
    await this.fetch(conversation);
    if (conversation !== this.open) return false;
    this.view.show(this, { opened: first });
    return before !== JSON.stringify([conversation.turn, conversation.listed.at(-1)?.sequence]);
  }

  async fetch(conversation) {
    try {
      conversation.receive(await api.history(conversation.id));
      this.unlisted.settle(conversation.id, conversation.listedIds());
    } catch (error) {
      if (error.status !== 404) throw error;
      // A new conversation is unknown until its first message was taken from the inbox.
      const isOurs = this.unlisted.of(conversation.id).length > 0;
      conversation.state = isOurs ? 'known' : 'missing';
      this.unlisted.settle(conversation.id, new Set());
    }
  }

  async loadList() {
    this.entries = await api.conversations();
    this.listedAt = Date.now();
    this.view.showList(this);
  }
}

function titleOf(...candidates) {
  const unlisted = candidates.pop();
  return candidates.find(Boolean) ?? unlisted[0]?.text.trim().split('\n', 1)[0].slice(0, 80) ?? '';
}
