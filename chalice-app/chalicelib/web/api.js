// The page's HTTP API: one function a route. Knows no element and keeps nothing but whether the server was reached.

const ROOT = new URL('.', import.meta.url); // "/web/", behind whatever prefix a gateway puts before it
const PATIENCE_MS = 20_000;
const SAME_CLOCK_MS = 3000; // the Date header counts whole seconds, and may be one old

/** The server was not reached, or is in no state to answer: the same request may be made again later. */
export class Unreachable extends Error {}

/** The server will not do it; `message` says why, `status` is HTTP's. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Who wants to know how requests fare: `reached()`, `unreachable()`, `ended()` (the visitor's cookie is gone). */
export const watchers = new Set();

let serverAheadMs = 0;

/** The server's time `epochSeconds` on this device's clock, in milliseconds. */
export function localTime(epochSeconds) {
  return epochSeconds * 1000 - serverAheadMs;
}

/** The visitor's conversations, newest first: [{id, title, updated, status}]. */
export async function conversations() {
  return (await call('GET', 'conversations')).conversations;
}

/** A page of a conversation: {id, title, messages, turn, earlier}; with `before`, of what is older than that sequence. */
export function history(id, before = null) {
  return call('GET', before === null ? path(id) : `${path(id)}?before=${before}`);
}

/** Hands a message in; a repeat with the same `client_id` changes nothing. */
export function send(id, message) {
  return call('POST', `${path(id)}/messages`, { client_id: message.client_id, text: message.text });
}

/** Asks for the end of the running answer; whether there was one. */
export async function cancel(id) {
  return (await call('POST', `${path(id)}/cancel`, {})).cancelled;
}

/** Keeps what the visitor thinks of an answer: `up`, `down`, or null to take it back. */
export function rate(id, sequence, rating) {
  return call('POST', `${path(id)}/messages/${sequence}/feedback`, { rating });
}

/** Deletes a conversation. */
export function remove(id) {
  return call('DELETE', path(id));
}

const path = (id) => `conversations/${encodeURIComponent(id)}`;

async function call(method, route, body) {
  const response = await request(method, route, body);
  const content = await response.json().catch(() => null);
  if (response.status >= 500 || content === null || (response.status === 429 && method === 'GET')) {
    tell('unreachable');
    throw new Unreachable(`HTTP ${response.status}`);
  }
  tell(response.status === 401 ? 'ended' : 'reached');
  const ahead = Date.parse(response.headers.get('date') ?? '') - Date.now();
  serverAheadMs = Math.abs(ahead) > SAME_CLOCK_MS ? ahead : 0;
  if (!response.ok) throw new Refused(response.status, content.error?.message ?? `HTTP ${response.status}`);
  return content;
}

async function request(method, route, body) {
  // The header shows the server that its own page asks: another site's form cannot send it.
  const headers = { 'X-Parley': '1', ...(body && { 'Content-Type': 'application/json' }) };
  const options = { method, headers, body: body && JSON.stringify(body), cache: 'no-cache' };
  try {
    return await fetch(new URL(route, ROOT), { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    tell('unreachable');
    throw new Unreachable(error.message);
  }
}

function tell(what) {
  for (const watcher of watchers) watcher[what]();
}
