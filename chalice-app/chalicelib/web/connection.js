// Whether the server can be reached; says so when not, tries again ever more slowly, and tells when it is back.
// Knows no conversation.

import { announce } from './announcer.js';
import { t } from './strings.js';

const SLOWEST_S = 30;

export class Connection {
  /** `probe()` asks the server for anything; `restored()` is called when it answers after it did not. */
  constructor(banner, probe, restored) {
    Object.assign(this, { banner, probe, restored, isDown: false, isOver: false });
    [this.words, this.count, this.button] = banner.children;
    this.button.addEventListener('click', () => (this.isOver ? location.reload() : this.retry()));
    window.addEventListener('online', () => this.isDown && this.retry());
    window.addEventListener('offline', () => this.unreachable());
  }

  reached() {
    if (!this.isDown) return;
    this.isDown = false;
    clearInterval(this.timer);
    this.banner.hidden = true;
    announce(t.online);
    this.restored();
  }

  unreachable() {
    if (this.isDown || this.isOver) return;
    this.isDown = true;
    this.failures = 0;
    this.say(t.offline, t.tryNow);
    this.plan();
  }

  /** The visitor's cookie is gone: only loading the page anew brings another. */
  ended() {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.timer);
    this.count.textContent = '';
    this.say(t.ended, t.reload);
  }

  say(words, action) {
    this.words.textContent = words;
    this.button.textContent = action;
    this.banner.hidden = false;
    announce(words);
  }

  plan() {
    // Spread by chance, so that all open pages do not come back in the same instant.
    const pause = Math.min(2 ** this.failures, SLOWEST_S) * (0.75 + Math.random() / 2);
    this.due = Date.now() + pause * 1000;
    clearInterval(this.timer);
    this.timer = setInterval(() => this.tick(), 250);
    this.tick();
  }

  tick() {
    const left = Math.ceil((this.due - Date.now()) / 1000);
    if (left > 0) this.count.textContent = t.tryingIn(left);
    else this.retry();
  }

  async retry() {
    clearInterval(this.timer);
    this.count.textContent = t.trying;
    try {
      await this.probe(); // when it is answered, `reached` is called
    } catch {
      this.failures += 1; // the reason was shown when the connection was lost
      if (this.isDown && !this.isOver) this.plan();
    }
  }
}
