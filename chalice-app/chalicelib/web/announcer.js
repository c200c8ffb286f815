// Says aloud, to screen readers, what the eye sees appear. Knows no conversation.

import { element } from './dom.js';

const KEPT_MS = 20_000; // long enough to be read out, short enough not to be met later while browsing the page

/** Has the text read out when the reader is next silent. */
export function announce(text) {
  const line = element('p', {}, text);
  document.getElementById('announcer').append(line);
  setTimeout(() => line.remove(), KEPT_MS);
}
