// Which addresses an answer may link to, and how such a link is made. Knows no Markdown.

import { element } from './dom.js';

const SCHEMES = new Set(['http:', 'https:', 'mailto:']);
const MOST_CHARACTERS = 2000;

/**
 * The address as the browser understands it, or null where it is no absolute http, https or mailto one. The browser's
 * own parser decides, so spaces, tabs and letter case hide no other scheme from this check.
 */
export function safeAddress(text) {
  if (text.length > MOST_CHARACTERS) return null;
  try {
    const url = new URL(text);
    return SCHEMES.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** A link that opens beside the chat and tells the other side nothing of where it came from. */
export function link(address, ...children) {
  return element('a', { href: address, target: '_blank', rel: 'noopener noreferrer' }, ...children);
}
