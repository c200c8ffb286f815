// When to ask the server again: quickly at first, more slowly the longer nothing changes, not at all while nothing
// is awaited. A hidden page asks slowly, and only for what is on its way. Knows no conversation.

const FAST_MS = 300;
const SLOW_MS = 3000;
const GROWTH = 1.25;

export class Poller {
  /** `look()` asks once; it gives {waiting, changed}, and null where asking again is for somebody else to decide. */
  constructor(look) {
    this.look = look;
    this.isLooking = false;
    this.isWoken = false;
    this.pause = FAST_MS;
  }

  /** Asks at once, and from then on quickly again. */
  wake() {
    this.pause = FAST_MS;
    return this.ask();
  }

  async ask() {
    clearTimeout(this.timer);
    this.isWoken = this.isLooking; // what is being asked now may already be too old for whoever woke us
    if (this.isLooking) return;
    this.isLooking = true;
    const seen = await this.look().finally(() => (this.isLooking = false));
    if (this.isWoken) await this.ask();
    else if (seen?.waiting) this.plan(seen.changed);
  }

  plan(changed) {
    this.timer = setTimeout(() => this.ask(), document.hidden ? SLOW_MS : this.pause);
    this.pause = changed ? FAST_MS : Math.min(this.pause * GROWTH, SLOW_MS);
  }
}
