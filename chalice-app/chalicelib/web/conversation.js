// One conversation as the page knows it, and the rows that it is shown as. Fetches nothing and draws nothing.

import { localTime } from './api.js';

const RUNNING = new Set(['waking', 'thinking']);

export class Conversation {
  constructor(id) {
    this.id = id;
    this.title = '';
    this.turn = null;
    this.earlier = false;
    this.state = 'unknown'; // until the server was asked; then `known` or `missing`
    this.stopping = null; // number of the turn that the visitor asked to stop
    this.listed = []; // messages by sequence, without a gap
  }

  /** Takes the newest page of messages. */
  receive(page) {
    const reachesBack = this.listed.length && page.messages[0]?.sequence <= this.listed.at(-1).sequence + 1;
    if (!reachesBack) this.listed = []; // more was said elsewhere than one page holds: older pages are loaded again
    if (!this.listed.length || page.messages[0]?.sequence < this.listed[0].sequence) this.earlier = page.earlier;
    this.merge(page.messages);
    Object.assign(this, { title: page.title, turn: page.turn, state: 'known' });
    if (page.turn?.number !== this.stopping || !RUNNING.has(page.turn?.state)) this.stopping = null;
  }

  /** Takes a page of older messages. */
  receiveEarlier(page) {
    this.merge(page.messages);
    this.earlier = page.earlier;
  }

  merge(messages) {
    const bySequence = new Map([...this.listed, ...messages].map((message) => [message.sequence, message]));
    this.listed = [...bySequence.values()].sort((a, b) => a.sequence - b.sequence);
  }

  /** Notes what the visitor thinks of an answer: `up`, `down` or null. Gives what was noted before. */
  rate(sequence, feedback) {
    const answer = this.listed.find((message) => message.sequence === sequence);
    const before = answer?.feedback ?? null;
    if (answer) answer.feedback = feedback;
    return before;
  }

  /** The client ids of the messages that the server lists. */
  listedIds() {
    return new Set(this.listed.map((message) => message.client_id));
  }

  /** Whether something is on its way: a message to the model, or its answer. */
  isWaiting(unlisted) {
    return this.rows(unlisted).some((row) => row.kind === 'status' || row.state === 'queued');
  }

  /**
   * What is shown, from top to bottom. Each row has `key` and `kind`:
   * `message` (role, text, state, error, clientId, sequence, feedback), `status` (state, since in ms, canStop), and the ends of a turn
   * without an answer: `failed` (error, text), `stopped`, `unanswered`.
   */
  rows(unlisted) {
    const rows = [];
    for (const [number, messages] of this.turns()) {
      const state = this.stateOf(number, messages);
      rows.push(...messages.map((message) => listedRow(message, state === 'queued' && this.isRunning())));
      rows.push(...this.endRow(number, state, messages));
    }
    const shown = this.listedIds();
    const own = unlisted.filter((entry) => !shown.has(entry.client_id));
    const hasStatus = rows.some((row) => row.kind === 'status');
    rows.push(...own.map((entry) => unlistedRow(entry, hasStatus)));
    const first = own.find((entry) => entry.state !== 'unsent');
    if (first && !hasStatus) rows.push(statusRow(first.state, first.created));
    return rows;
  }

  isRunning() {
    return RUNNING.has(this.turn?.state);
  }

  /** Messages by turn, so that an answer stands under its question though other messages came meanwhile. */
  turns() {
    const turns = new Map();
    for (const message of this.listed) {
      const number = message.turn ?? Infinity;
      turns.set(number, [...(turns.get(number) ?? []), message]);
    }
    return [...turns].sort(([a], [b]) => a - b);
  }

  stateOf(number, messages) {
    if (messages.some((message) => message.role === 'assistant')) return 'answered';
    const current = this.turn?.number ?? 0;
    if (number !== current) return number > current ? 'queued' : 'unanswered';
    // An answer that is stored but not listed yet is as good as being thought about.
    return ['answered', 'delivered'].includes(this.turn.state) ? 'thinking' : this.turn.state;
  }

  endRow(number, state, messages) {
    const since = localTime(messages[0].created);
    if (RUNNING.has(state)) {
      const { estimate } = this.turn;
      return [{ ...statusRow(this.stopping === number ? 'stopping' : state, since, this.stopping !== number), estimate }];
    }
    if (state === 'queued') return this.isRunning() ? [] : [statusRow('queued', since)];
    if (state === 'answered') return [];
    const key = `end-${number}`;
    const text = messages.map((message) => message.text).join('\n\n');
    if (state === 'failed') return [{ key, kind: 'failed', error: this.turn.error, text }];
    return [{ key, kind: state === 'cancelled' ? 'stopped' : 'unanswered' }];
  }
}

function listedRow({ sequence, client_id: clientId, role, text, feedback }, isQueued) {
  const key = role === 'user' && clientId ? clientId : `message-${sequence}`;
  return { key, kind: 'message', role, text, sequence, feedback, state: isQueued ? 'queued' : null, error: null };
}

function unlistedRow({ client_id: clientId, text, state, error }, behindAnother) {
  // The first message's state stands in the status row; those behind it carry their own.
  const shown = state === 'unsent' || behindAnother ? state : null;
  return { key: clientId, clientId, kind: 'message', role: 'user', text, state: shown, error };
}

function statusRow(state, since, canStop = false) {
  return { key: 'status', kind: 'status', state, since, canStop };
}
