// Markdown blocks: paragraphs, headings, lists, quotes, tables, fenced code. Builds DOM nodes and parses no HTML, so
// whatever a model writes stays text. Knows nothing of conversations.

import { codeBlock } from './code_block.js';
import { element } from './dom.js';
import { inline } from './inline.js';
import { t } from './strings.js';

const DEEPEST = 8; // quotes and lists inside each other; what is deeper becomes a paragraph
const FENCE = /^\s*(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*))?$/;
const UNDERLINE = /^ {0,3}=+[ \t]*$/; // of dashes is a rule: that is what models mean by it
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)([-*+]|(\d{1,9})[.)])(\s+|$)/;
const DIVIDER = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$/;

/** The nodes of a Markdown text. */
export function markdown(text) {
  const out = document.createDocumentFragment();
  blocks(text.replace(/\r\n?/g, '\n').split('\n'), out, 0);
  return out;
}

function blocks(lines, out, depth) {
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) at += 1;
    else at = block(lines, at, out, depth);
  }
}

/** Appends the block that begins at line `at`; returns where the next one begins. */
function block(lines, at, out, depth) {
  const line = lines[at];
  if (FENCE.test(line)) return fence(lines, at, out);
  if (HEADING.test(line)) return heading(lines, at, out);
  if (RULE.test(line)) return out.append(element('hr')), at + 1;
  if (depth < DEEPEST && QUOTE.test(line)) return quote(lines, at, out, depth);
  if (depth < DEEPEST && ITEM.test(line)) return list(lines, at, out, depth);
  if (isTable(lines, at)) return table(lines, at, out);
  return paragraph(lines, at, out);
}

/** Whether a line ends the paragraph above it. */
function interrupts(lines, at) {
  const line = lines[at];
  if (!line.trim() || FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line)) return true;
  const item = ITEM.exec(line);
  return (item && item[4] && (!item[3] || item[3] === '1')) || isTable(lines, at);
}

function textBlock(tag, text) {
  const node = element(tag);
  node.append(inline(text));
  return directed(node);
}

/** Sets the direction once the text is there: a browser would look for it anew at each piece that is added. */
function directed(node) {
  node.dir = 'auto';
  return node;
}

function paragraph(lines, at, out) {
  const taken = [lines[at].trim()];
  let next = at + 1;
  for (; next < lines.length; next += 1) {
    if (UNDERLINE.test(lines[next])) return out.append(textBlock('h2', taken.join('\n'))), next + 1;
    if (interrupts(lines, next)) break;
    taken.push(lines[next].trim());
  }
  out.append(textBlock('p', taken.join('\n')));
  return next;
}

function heading(lines, at, out) {
  const [, marks, text = ''] = HEADING.exec(lines[at]);
  // The page's own title is the h1, so that the outline a screen reader hears stays whole.
  const level = Math.min(6, marks.length + 1);
  out.append(textBlock(`h${level}`, text.trim().replace(/(?:^|[ \t])#+$/, '')));
  return at + 1;
}

function fence(lines, at, out) {
  const [, marks, info] = FENCE.exec(lines[at]);
  const indent = indentOf(lines[at]);
  let end = at + 1;
  while (end < lines.length && !closes(lines[end], marks)) end += 1;
  const code = lines.slice(at + 1, end).map((line) => outdent(line, indent));
  out.append(codeBlock(code.join('\n'), info.trim().split(/\s/, 1)[0]));
  return end + 1;
}

function closes(line, marks) {
  const text = line.trim();
  return text.length >= marks.length && text === marks[0].repeat(text.length);
}

function quote(lines, at, out, depth) {
  const inside = [];
  let next = at;
  for (; next < lines.length; next += 1) {
    if (!QUOTE.test(lines[next]) && interrupts(lines, next)) break;
    inside.push(lines[next].replace(QUOTE, ''));
  }
  const node = element('blockquote');
  blocks(inside, node, depth + 1);
  out.append(directed(node));
  return next;
}

function list(lines, at, out, depth) {
  const [, lead, mark, number] = ITEM.exec(lines[at]);
  const node = number ? element('ol', { start: Number(number) }) : element('ul');
  const outer = lead.length;
  let next = at;
  let parted = false; // whether a blank line stood above
  while (next < lines.length) {
    const item = ITEM.exec(lines[next]);
    if (!item || item[2].at(-1) !== mark.at(-1) || item[1].length > outer + 1 || RULE.test(lines[next])) break;
    const [inside, after] = itemLines(lines, next, item);
    if (parted) node.classList.add('loose');
    parted = !inside.at(-1).trim();
    node.append(listItem(inside, depth));
    next = after;
  }
  out.append(directed(node));
  return next;
}

/** The lines of one list item, without their indent, and where the next one begins. */
function itemLines(lines, at, [lead, before, mark, , gap]) {
  const inner = before.length + mark.length + (gap.length > 4 ? 1 : Math.max(1, gap.length));
  const inside = [lines[at].slice(lead.length)];
  let next = at + 1;
  for (; next < lines.length; next += 1) {
    const line = lines[next];
    // Two columns are enough to belong to an item: models indent "1." lists by two as often as by three.
    const belongs = indentOf(line) >= before.length + 2;
    const blank = !line.trim();
    if (!blank && !belongs && (!lines[next - 1].trim() || ITEM.test(line) || interrupts(lines, next))) break;
    inside.push(outdent(line, inner));
  }
  return [inside, next];
}

function listItem(lines, depth) {
  const task = /^\[([ xX])\]\s+/.exec(lines[0]);
  if (task) lines[0] = `${task[1] === ' ' ? '☐' : '☑'} ${lines[0].slice(task[0].length)}`;
  const node = element('li');
  blocks(lines, node, depth + 1);
  return directed(node);
}

function isTable(lines, at) {
  const below = lines[at + 1];
  if (!lines[at].includes('|') || !below?.includes('-') || !DIVIDER.test(below.trim())) return false;
  return cells(lines[at]).length === cells(below).length;
}

function table(lines, at, out) {
  const aligned = cells(lines[at + 1]).map((cell) => {
    if (!cell.endsWith(':')) return '';
    return cell.startsWith(':') ? 'center' : 'end';
  });
  const row = (line, tag) => {
    const made = cells(line).slice(0, aligned.length).map((cell, column) => {
      const node = textBlock(tag, cell);
      node.className = aligned[column];
      return node;
    });
    return element('tr', {}, ...made);
  };
  const body = element('tbody');
  let next = at + 2;
  for (; next < lines.length && lines[next].includes('|'); next += 1) body.append(row(lines[next], 'td'));
  const whole = element('table', {}, element('thead', {}, row(lines[at], 'th')), body);
  out.append(element('div', { className: 'wide', role: 'region', tabIndex: 0, 'aria-label': t.table }, directed(whole)));
  return next;
}

/** The trimmed cells of a table's line; an escaped bar is text. */
function cells(line) {
  const parts = line.trim().replace(/^\|/, '').split(/(?<!\\)\|/);
  if (parts.length > 1 && !parts.at(-1).trim()) parts.pop();
  return parts.map((part) => part.trim().replaceAll('\\|', '|'));
}

/** Columns of white space before the text; a tab goes to the next multiple of four. */
function indentOf(line) {
  let column = 0;
  for (const character of line) {
    if (character === ' ') column += 1;
    else if (character === '\t') column += 4 - (column % 4);
    else break;
  }
  return column;
}

/** The line without its first `columns` columns of white space, or as many as it has. */
function outdent(line, columns) {
  let at = 0;
  let column = 0;
  while (column < columns && (line[at] === ' ' || line[at] === '\t')) {
    column += line[at] === ' ' ? 1 : 4 - (column % 4);
    at += 1;
  }
  return ' '.repeat(Math.max(0, column - columns)) + line.slice(at);
}
