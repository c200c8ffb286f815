// Markdown inside a block: emphasis, code, links, line breaks. Builds DOM nodes; knows no blocks.
// One pass over the text, and the nodes themselves are the list that emphasis and links are folded from, so the time
// stays proportional to the length whatever a model writes.

import { element } from './dom.js';
import { link, safeAddress } from './links.js';

const DEEPEST = 12; // emphasis inside emphasis; the marks of what is deeper are dropped
const SPECIAL = /[\\`*_~[\]!<&\n]|https?:\/\//g;
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}]/u;
const ENTITIES = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'", '&nbsp;': '\u00a0' };
// Lengths are bounded so that no text makes the matcher walk back and forth over itself.
const TARGET = new RegExp(
  '\\([ \\n]{0,9}(?:<([^<>\\n]{0,2000})>|((?:[^\\s()\\\\]|\\\\.|\\((?:[^\\s()\\\\]|\\\\.){0,500}\\)){0,2000}))' +
    '(?:[ \\n]{1,9}(?:"[^"]{0,500}"|\'[^\']{0,500}\'|\\([^()]{0,500}\\)))?[ \\n]{0,9}\\)',
  'y',
);
const ANGLE = /<(?:(https?:\/\/[^\s<>]{1,2000}|mailto:[^\s<>]{1,300})|([\w.+-]{1,100}@[\w.-]{1,200})|br ?\/?)>/iy;
// Full-width punctuation ends a bare address: Chinese text puts no space behind it.
const BARE = /https?:\/\/[^\s<>"`|，。；：！？、（）《》「」『』【】“”]{1,2000}/y;

/** The nodes of one block's text. */
export function inline(text) {
  return new Inline(text).parse();
}

class Inline {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.out = document.createDocumentFragment();
    this.runs = []; // of emphasis marks: {node, mark, count, opens, closes, inner: how deep the emphasis behind it is}
    this.brackets = []; // open ones: {node, runs: how many runs stood before}
    this.unclosed = new Set(); // lengths of backtick runs that are known to have no partner ahead
  }

  parse() {
    while (this.at < this.text.length) {
      SPECIAL.lastIndex = this.at;
      const found = SPECIAL.exec(this.text);
      this.say(this.text.slice(this.at, found?.index));
      if (!found) break;
      this.at = found.index;
      this.special(found[0]);
    }
    this.pair(0);
    this.out.normalize();
    return this.out;
  }

  say(text) {
    if (text) this.out.append(text);
  }

  take(text, source = text) {
    this.say(text);
    this.at += source.length;
  }

  special(mark) {
    if (mark === '\\') this.escape();
    else if (mark === '`') this.code();
    else if (mark === '*' || mark === '_' || mark === '~') this.run(mark);
    else if (mark === '[') this.open('[');
    else if (mark === '!') this.text[this.at + 1] === '[' ? this.open('![') : this.take('!');
    else if (mark === ']') this.close();
    else if (mark === '<') this.angle();
    else if (mark === '&') this.entity();
    else if (mark === '\n') this.newline();
    else this.bare(mark);
  }

  escape() {
    const next = this.text[this.at + 1] ?? '';
    if (PUNCTUATION.test(next)) this.take(next, `\\${next}`);
    else this.take('\\');
  }

  code() {
    const ticks = this.runOf('`');
    const end = this.partner(ticks.length);
    if (end < 0) return this.take(ticks);
    const content = this.text.slice(this.at + ticks.length, end).replaceAll('\n', ' ');
    const padded = content.startsWith(' ') && content.endsWith(' ') && content.trim();
    this.out.append(element('code', { dir: 'ltr' }, padded ? content.slice(1, -1) : content));
    this.at = end + ticks.length;
  }

  /** Where the closing run of exactly `length` backticks begins; -1 without one. */
  partner(length) {
    if (this.unclosed.has(length)) return -1;
    let at = this.at + length;
    while ((at = this.text.indexOf('`', at)) >= 0) {
      const start = at;
      while (this.text[at] === '`') at += 1;
      if (at - start === length) return start;
    }
    this.unclosed.add(length);
    return -1;
  }

  runOf(mark) {
    let end = this.at;
    while (this.text[end] === mark) end += 1;
    return this.text.slice(this.at, end);
  }

  run(mark) {
    const marks = this.runOf(mark);
    const before = this.text[this.at - 1] ?? ' ';
    const after = this.text[this.at + marks.length] ?? ' ';
    // Spaces alone decide for * and ~: "**注意：**请" is bold in Chinese, though CommonMark's rule would not close it.
    const inWord = mark === '_' && WORD.test(before) && WORD.test(after);
    const node = document.createTextNode(marks);
    this.out.append(node);
    this.at += marks.length;
    if (mark === '~' && marks.length !== 2) return;
    const opens = !inWord && /\S/.test(after) && !(mark === '_' && WORD.test(before));
    const closes = !inWord && /\S/.test(before) && !(mark === '_' && WORD.test(after));
    this.runs.push({ node, mark, count: marks.length, opens, closes, inner: 0 });
  }

  /** Folds the runs from number `first` on into emphasis. */
  pair(first) {
    const stack = [];
    const open = { '*': 0, _: 0, '~': 0 };
    const pop = () => {
      const { mark, inner } = stack.pop();
      open[mark] -= 1;
      if (stack.length) stack.at(-1).inner = Math.max(stack.at(-1).inner, inner);
    };
    for (const run of this.runs.splice(first)) {
      while (run.closes && run.count && open[run.mark]) {
        while (stack.at(-1).mark !== run.mark) pop();
        this.fold(stack.at(-1), run);
        if (!stack.at(-1).count) pop();
      }
      if (!run.opens || !run.count) continue;
      stack.push(run);
      open[run.mark] += 1;
    }
  }

  fold(opener, closer) {
    const width = opener.count > 1 && closer.count > 1 ? 2 : 1;
    for (const run of [opener, closer]) {
      run.count -= width;
      run.node.data = run.mark.repeat(run.count);
    }
    if (opener.inner === DEEPEST) return;
    opener.inner += 1;
    wrap(element(opener.mark === '~' ? 'del' : width === 2 ? 'strong' : 'em'), opener.node, closer.node);
  }

  open(mark) {
    const node = document.createTextNode(mark);
    this.out.append(node);
    this.brackets.push({ node, runs: this.runs.length });
    this.at += mark.length;
  }

  close() {
    const opener = this.brackets.pop();
    TARGET.lastIndex = this.at + 1;
    const target = opener && TARGET.exec(this.text);
    const raw = target && (target[1] ?? target[2]);
    const address = raw && safeAddress(raw.replace(/\\([!-/:-@[-`{-~])/g, '$1'));
    if (!address) return this.take(']'); // no link, or none that is safe: shown as it was typed
    this.pair(opener.runs);
    const node = wrap(link(address), opener.node, null);
    if (opener.node.data === '![') node.textContent = node.textContent; // an image becomes a link: nothing is loaded
    else this.brackets = []; // no link inside a link
    for (const inner of node.querySelectorAll('a')) inner.replaceWith(...inner.childNodes);
    if (!node.textContent.trim()) node.append(address);
    opener.node.remove();
    this.at += 1 + target[0].length;
    return undefined;
  }

  angle() {
    ANGLE.lastIndex = this.at;
    const found = ANGLE.exec(this.text);
    if (!found) return this.take('<');
    const [source, url, mail] = found;
    const address = url || mail ? safeAddress(url ?? `mailto:${mail}`) : null;
    if (address) this.out.append(link(address, url ?? mail));
    else if (/^<br/i.test(source)) this.out.append(element('br'));
    else return this.take('<');
    this.at += source.length;
    return undefined;
  }

  entity() {
    const source = Object.keys(ENTITIES).find((name) => this.text.startsWith(name, this.at));
    if (source) this.take(ENTITIES[source], source);
    else this.take('&');
  }

  newline() {
    this.out.append(element('br'));
    this.at += 1;
  }

  bare(scheme) {
    BARE.lastIndex = this.at;
    let source = BARE.exec(this.text)?.[0] ?? '';
    source = source.replace(/[.,;:!?*_~'\]]{1,9}$/, '');
    const closing = source.indexOf(')');
    if (closing >= 0 && !source.slice(0, closing).includes('(')) source = source.slice(0, closing);
    const inWord = /\w/.test(this.text[this.at - 1] ?? '');
    const address = inWord ? null : safeAddress(source);
    if (!address) return this.take(scheme);
    this.out.append(link(address, source));
    this.at += source.length;
    return undefined;
  }
}

/** Moves what stands between two sibling nodes into `holder`, in its place. */
function wrap(holder, from, to) {
  while (from.nextSibling !== to) holder.append(from.nextSibling);
  from.after(holder);
  return holder;
}
