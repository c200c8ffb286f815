// A block of code with its language and a button that copies it; also that button for whole answers.
// Knows no Markdown.

import { announce } from './announcer.js';
import { element, icon } from './dom.js';
import { t } from './strings.js';

const SHOWN_DONE_MS = 1600;

/** A figure with the code as it was written; it scrolls by itself where it is wide. */
export function codeBlock(code, language) {
  const lines = element('pre', { tabIndex: 0, dir: 'ltr', role: 'region', 'aria-label': t.code }, element('code', {}, code));
  const label = element('figcaption', {}, element('span', {}, language.slice(0, 30)), copyButton(t.copyCode, () => code));
  return element('figure', { className: 'code', dir: 'ltr' }, label, lines);
}

/** A button that copies what `text()` gives and says that it did. */
export function copyButton(label, text) {
  const word = element('span', {}, t.copy);
  const button = element('button', { type: 'button', className: 'quiet-button', 'aria-label': label }, icon('copy'), word);
  button.addEventListener('click', async () => {
    if (!(await copy(text()))) return;
    show(button, 'done', t.copied);
    announce(t.copied);
    setTimeout(() => show(button, 'copy', t.copy), SHOWN_DONE_MS);
  });
  return button;
}

function show(button, name, word) {
  button.replaceChildren(icon(name), element('span', {}, word));
}

/** Whether the text is in the clipboard now. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // no clipboard API on a plain http address
  }
}

function copyBySelection(text) {
  const focused = document.activeElement;
  const field = element('textarea', { value: text, className: 'unseen', readOnly: true });
  document.body.append(field);
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  focused?.focus();
  return copied;
}
