// The messages of the open conversation and what becomes of them, as elements. Fetches nothing and decides no state.

import { announce } from './announcer.js';
import { copyButton } from './code_block.js';
import { element, icon, reconcile } from './dom.js';
import { markdown } from './markdown.js';
import { t } from './strings.js';
import { showThumbs, thumbs } from './thumbs.js';

const QUIET_S = 4; // waits shorter than this are not counted aloud

export class Transcript {
  /** `actions`: retry(clientId), askAgain(text), stop(), rate(sequence, rating). */
  constructor(list, actions) {
    this.list = list;
    this.actions = actions;
    setInterval(() => this.tick(), 1000);
  }

  /** Shows the rows of a conversation; gives the first answer that is new. A `quiet` change is not read out. */
  show(rows, quiet) {
    this.isQuiet = quiet;
    this.newAnswer = null;
    reconcile(this.list, rows, (row) => this.create(row), (node, row) => this.update(node, row));
    return this.newAnswer;
  }

  create(row) {
    if (row.kind === 'status') return this.status();
    if (row.kind !== 'message') return this.ending(row);
    return row.role === 'user' ? question(row) : this.answer(row);
  }

  update(node, row) {
    if (row.kind === 'status') this.showStatus(node, row);
    else if (row.role === 'user') this.showState(node, row);
    else if (row.kind === 'message') showThumbs(node, row.feedback);
  }

  answer({ text, sequence }) {
    const body = element('div', { className: 'markdown' });
    body.append(markdown(text));
    const rating = thumbs((pressed) => this.actions.rate(sequence, pressed));
    const tools = element('div', { className: 'tools' }, copyButton(t.copyAnswer, () => text), ...rating);
    const node = element('li', { className: 'answer' }, spoken(t.parley), mark(), body, tools);
    if (!this.isQuiet) announce([t.parley, ...Array.from(body.children, (block) => block.textContent)].join('\n'));
    this.newAnswer ??= node;
    return node;
  }

  /** What stands under a question that has not been taken yet. */
  showState(node, { state, error, clientId }) {
    const shown = `${state} ${error}`;
    if (node.dataset.state === shown) return;
    node.dataset.state = shown;
    node.querySelector('.note')?.remove();
    if (state === 'queued' || state === 'sending') node.append(element('p', { className: 'note' }, t[state]));
    if (state === 'unsent') node.append(this.unsent(error, clientId));
  }

  unsent(error, clientId) {
    const reason = { unreachable: t.unreachable, lost: t.lost }[error] ?? `${t.unsent} ${error}`;
    announce(reason);
    const retry = textButton('retry', t.retry, () => this.actions.retry(clientId));
    return element('p', { className: 'note problem' }, element('span', { dir: 'auto' }, reason), retry);
  }

  status() {
    const line = element('p', { className: 'state' }, element('span', { className: 'word' }), element('span', { className: 'elapsed' }));
    const stop = textButton('stop', t.stop, () => this.actions.stop());
    return element('li', { className: 'status' }, mark(), line, stop, element('p', { className: 'hint' }));
  }

  showStatus(node, { state, since, canStop, estimate }) {
    const word = node.querySelector('.word');
    if (word.textContent !== t[state]) {
      word.textContent = t[state];
      if (!this.isQuiet) announce(t[state]);
    }
    node.dataset.state = state;
    node.dataset.since = since;
    node.querySelector('.hint').textContent = t.wakingHint(estimate);
    node.querySelector('button').hidden = !canStop;
    this.tick();
  }

  /** Counts the seconds of a longer wait. */
  tick() {
    const node = this.list.querySelector('.status');
    if (!node) return;
    const waited = (Date.now() - node.dataset.since) / 1000;
    node.querySelector('.elapsed').textContent = waited < QUIET_S ? '' : t.elapsed(waited);
    node.querySelector('.hint').hidden = waited < QUIET_S || node.dataset.state !== 'waking';
  }

  /** The end of a turn without an answer. */
  ending({ kind, error, text }) {
    const words = kind === 'failed' ? error || t.failed : t[kind];
    if (!this.isQuiet) announce(words);
    if (kind !== 'failed') return element('li', { className: 'ending' }, words);
    const again = textButton('retry', t.askAgain, () => this.actions.askAgain(text));
    return element('li', { className: 'failure' }, icon('warning'), element('p', { dir: 'auto' }, words), again);
  }
}

function question({ text }) {
  return element('li', { className: 'question' }, spoken(t.you), element('div', { className: 'bubble', dir: 'auto' }, text));
}

function spoken(text) {
  return element('span', { className: 'unseen' }, text);
}

function mark() {
  return element('span', { className: 'mark', 'aria-hidden': 'true' });
}

function textButton(name, label, onclick) {
  return element('button', { type: 'button', className: 'quiet-button', onclick }, icon(name), element('span', {}, label));
}
