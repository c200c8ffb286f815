// Puts the page together: fills in its words, makes the views, and hands them to the chat.

import { Chat } from './chat.js';
import { Composer } from './composer.js';
import { confirmed } from './confirmation.js';
import { ConversationList } from './conversations.js';
import { element, icon } from './dom.js';
import { Drawer } from './drawer.js';
import { Scrolling } from './scrolling.js';
import { language, t } from './strings.js';
import { Transcript } from './transcript.js';

const find = (id) => document.getElementById(id);
const hasKeyboard = window.matchMedia('(pointer: fine)');

class View {
  constructor() {
    this.list = new ConversationList(find('list'), { remove: (entry) => this.chat.remove(entry) });
    this.scrolling = new Scrolling(find('scroll'), find('to-end'));
    this.transcript = new Transcript(find('transcript'), {
      retry: (clientId) => this.chat.retry(clientId),
      askAgain: (text) => this.chat.send(text),
      stop: () => this.chat.stop(),
      rate: (sequence, rating) => this.chat.rate(sequence, rating),
    });
    this.composer = new Composer(find('composer'), (text) => this.chat.send(text));
    this.drawer = new Drawer({
      panel: find('side'), page: find('page'), opener: find('open-side'), closer: find('close-side'), backdrop: find('backdrop'),
    });
    this.chat = new Chat(this, find('banner'));
    for (const id of ['new', 'new-top']) find(id).addEventListener('click', () => this.startNew());
    find('earlier').addEventListener('click', () => this.chat.loadEarlier());
    // Not followed as a link: the address's hash names the conversation.
    find('skip').addEventListener('click', (event) => {
      event.preventDefault();
      this.composer.focus();
    });
    find('list').addEventListener('click', (event) => event.target.closest('a') && this.arrive());
    find('examples').append(...t.examples.map((text) => this.example(text)));
    document.addEventListener('visibilitychange', () => this.showTitle(this.chat));
  }

  /** `opened`: another conversation than before; `said`: the visitor just sent something. */
  show(chat, { opened = false, said = false } = {}) {
    if (opened && this.composer.name !== chat.draft) this.composer.open(chat.draft);
    else if (said) this.composer.name = chat.draft;
    const { open } = chat;
    find('welcome').hidden = !chat.isNew;
    find('missing').hidden = chat.isNew || open.state !== 'missing';
    find('earlier').hidden = !open.earlier;
    const answer = this.transcript.show(chat.rows(), opened);
    if (opened || said) this.scrolling.jump();
    else this.scrolling.follow(answer);
    this.hasNews = document.hidden && (this.hasNews || Boolean(answer));
    this.showList(chat);
  }

  showEarlier(chat) {
    const button = find('earlier');
    this.scrolling.hold(find('transcript').firstElementChild, () => {
      button.hidden = !chat.open.earlier;
      this.transcript.show(chat.rows(), true);
    });
    if (button.hidden) find('transcript').focus({ preventScroll: true });
  }

  showList(chat) {
    this.list.show(chat.all(), chat.isNew ? null : chat.open.id);
    this.showTitle(chat);
  }

  showTitle(chat) {
    if (!document.hidden) this.hasNews = false;
    const title = chat.title || (chat.isNew ? t.newConversation : 'Parley');
    find('title').textContent = title;
    document.title = `${this.hasNews ? '● ' : ''}${chat.title ? `${chat.title} · ` : ''}Parley`;
  }

  confirmRemoval({ title }) {
    const words = { title: t.removeTitle, text: t.removeText(title), agree: t.removeConfirm, decline: t.keep };
    return confirmed(find('confirmation'), words);
  }

  /** Before a conversation goes: the focus must not go with it. */
  leave(id, isOpen) {
    if (isOpen) this.arrive();
    else if (!this.list.focusBeside(id)) find('new').focus();
  }

  startNew() {
    if (!this.chat.isNew) this.chat.go('');
    this.arrive();
  }

  /** To where one writes; on a touch screen without calling up the keyboard. */
  arrive() {
    this.drawer.close();
    if (hasKeyboard.matches) this.composer.focus();
  }

  example(text) {
    return element('button', { type: 'button', className: 'example', dir: 'auto', onclick: () => this.ask(text) }, text);
  }

  ask(text) {
    this.chat.send(text);
    if (hasKeyboard.matches) this.composer.focus();
    else find('transcript').focus();
  }
}

/** Fills in the words and icons that the HTML names. */
function localize() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll('[data-icon]')) node.prepend(icon(node.dataset.icon));
  for (const node of document.querySelectorAll('[data-text]')) node.append(t[node.dataset.text]);
  for (const node of document.querySelectorAll('[data-label]')) node.setAttribute('aria-label', t[node.dataset.label]);
  for (const node of document.querySelectorAll('button[data-label]')) node.title = t[node.dataset.label];
  find('field').placeholder = t.placeholder;
}

/** Safari does not shrink the page when its keyboard comes up; what is left of the screen is known here. */
function fitScreen() {
  const screen = window.visualViewport;
  if (screen) document.documentElement.style.setProperty('--screen-height', `${Math.round(screen.height * screen.scale)}px`);
}

localize();
fitScreen();
window.visualViewport?.addEventListener('resize', fitScreen);
const view = new View();
view.chat.start();
document.body.classList.add('ready');
if (hasKeyboard.matches) view.composer.focus();
