// The list of conversations at the side. Shows what it is given and reports what is chosen; fetches nothing.

import { element, iconButton, reconcile } from './dom.js';
import { t } from './strings.js';

const DAY_MS = 86_400_000;

export class ConversationList {
  /** `actions`: remove(entry). Opening one is a link to its hash. */
  constructor(list, actions) {
    this.list = list;
    this.actions = actions;
    list.addEventListener('keydown', (event) => this.key(event));
  }

  /** `entries`: [{id, title, updated (s), isBusy}], newest first. */
  show(entries, openId) {
    this.entries = new Map(entries.map((entry) => [entry.id, entry]));
    const items = [];
    for (const entry of entries) {
      const age = ageOf(entry.updated);
      if (items.at(-1)?.age !== age) items.push({ key: age, age, isGroup: true });
      items.push({ key: entry.id, age, entry });
    }
    if (!items.length) items.push({ key: 'none', age: 'noConversations', isGroup: true });
    reconcile(this.list, items, (item) => this.create(item), (node, item) => update(node, item, openId));
  }

  /** Puts the focus on the conversation after (or before) the given one; false where there is none. */
  focusBeside(id) {
    const links = this.links();
    const at = links.findIndex((link) => link.hash === `#${id}`);
    const beside = links[at + 1] ?? links[at - 1];
    beside?.focus();
    return Boolean(beside);
  }

  links() {
    return [...this.list.querySelectorAll('a')];
  }

  create({ isGroup, age, key }) {
    if (isGroup) return element('li', { className: 'group' }, t[age]);
    const link = element('a', { href: `#${key}` }, element('span', { className: 'title', dir: 'auto' }), element('span', { className: 'busy' }));
    const remove = iconButton('trash', '', () => this.actions.remove(this.entries.get(key)));
    return element('li', { className: 'entry' }, link, remove);
  }

  key(event) {
    const links = this.links();
    const at = links.indexOf(event.target);
    if (at < 0) return;
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (next === undefined && event.key !== 'Delete') return;
    event.preventDefault();
    if (event.key === 'Delete') this.actions.remove(this.entries.get(links[at].hash.slice(1)));
    else links[next]?.focus();
  }
}

function update(node, { isGroup, entry }, openId) {
  if (isGroup) return;
  const [link, remove] = node.children;
  const [title, busy] = link.children;
  if (title.textContent !== entry.title) title.textContent = entry.title;
  link.title = entry.title;
  remove.title = t.removeConfirm;
  remove.setAttribute('aria-label', t.remove(entry.title));
  busy.textContent = entry.isBusy ? t.busy : '';
  if (entry.id === openId) link.setAttribute('aria-current', 'page');
  else link.removeAttribute('aria-current');
}

function ageOf(updated) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (updated * 1000 >= midnight) return 'today';
  if (updated * 1000 >= midnight - DAY_MS) return 'yesterday';
  return updated * 1000 >= midnight - 6 * DAY_MS ? 'week' : 'older';
}
