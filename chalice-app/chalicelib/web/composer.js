// The field where a message is written. Enter sends it, but never while an input method is composing a word.
// Knows no conversation but by the name that its draft is kept under.

import { t } from './strings.js';

const MOST_CHARACTERS = 32_000;
const COUNTED_FROM = 31_000;
const DRAFT = 'parley.draft.';

export class Composer {
  /** `send(text)` is called with what was written, which then leaves the field. */
  constructor(form, send) {
    this.form = form;
    this.field = form.querySelector('textarea');
    this.button = form.querySelector('button');
    this.hint = form.querySelector('.hint');
    this.send = send;
    this.name = null;
    this.field.addEventListener('input', () => this.changed());
    this.field.addEventListener('keydown', (event) => this.key(event));
    form.addEventListener('submit', (event) => this.submit(event));
    form.addEventListener('click', (event) => event.target === form && this.field.focus());
  }

  /** Shows the draft of that name. */
  open(name) {
    this.name = name;
    this.field.value = read(DRAFT + name);
    this.changed();
  }

  focus() {
    this.field.focus();
  }

  key(event) {
    // 229 is how Safari marks the Enter that ends a composition; there `isComposing` is false by then.
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key === 'Enter' && !event.shiftKey && !composing) this.submit(event);
  }

  submit(event) {
    event.preventDefault();
    const text = this.field.value.trimEnd();
    if (!text.trim() || lengthOf(text) > MOST_CHARACTERS) return;
    this.field.value = '';
    this.changed();
    this.focus();
    this.send(text);
  }

  changed() {
    const text = this.field.value;
    const left = MOST_CHARACTERS - lengthOf(text.trimEnd());
    this.button.disabled = !text.trim() || left < 0;
    this.form.classList.toggle('problem', left < 0);
    if (left < 0) this.hint.textContent = t.tooMuch(-left);
    else this.hint.textContent = left < MOST_CHARACTERS - COUNTED_FROM ? t.left(left) : t.hint;
    this.grow();
    keep(DRAFT + this.name, text);
  }

  /** As tall as its text, where the browser does not do that by itself. */
  grow() {
    if (CSS.supports('field-sizing', 'content')) return;
    this.field.style.height = 'auto';
    this.field.style.height = `${this.field.scrollHeight}px`;
  }
}

/** Characters as the server counts them: one for each code point. */
function lengthOf(text) {
  return text.length > COUNTED_FROM ? [...text].length : text.length;
}

function read(key) {
  try {
    return sessionStorage.getItem(key) ?? '';
  } catch {
    return ''; // storage is forbidden: drafts then do not outlive a change of conversation
  }
}

function keep(key, text) {
  try {
    if (text) sessionStorage.setItem(key, text);
    else sessionStorage.removeItem(key);
  } catch {
    // As above; the text stays in the field.
  }
}
