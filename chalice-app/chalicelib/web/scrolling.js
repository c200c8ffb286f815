// Where the transcript stands: it follows the newest message while the reader is there, and stays put otherwise.
// Knows no message.

import { element, icon } from './dom.js';
import { t } from './strings.js';

const NEAR_PX = 48;
const ABOVE_ANSWER_PX = 20;

export class Scrolling {
  /** `area` scrolls, `button` leads back to its end. */
  constructor(area, button) {
    this.area = area;
    this.button = button;
    this.isFollowing = true;
    area.addEventListener('scroll', () => this.look(), { passive: true });
    button.addEventListener('click', () => this.toEnd());
    // The keyboard of a phone or a growing message field makes the area smaller: the end stays in sight.
    new ResizeObserver(() => this.isFollowing && this.jump()).observe(area);
  }

  get end() {
    return this.area.scrollHeight - this.area.clientHeight;
  }

  look() {
    this.isFollowing = this.end - this.area.scrollTop < NEAR_PX;
    if (this.isFollowing) this.button.replaceChildren(icon('down'));
    this.button.hidden = this.end - this.area.scrollTop < this.area.clientHeight / 2 && !this.button.textContent;
    if (this.isFollowing) this.button.hidden = true;
  }

  /** To the end, at once. */
  jump() {
    this.area.scrollTo({ top: this.end, behavior: 'instant' });
    this.look();
  }

  /** To the end, smoothly where the visitor likes motion. */
  toEnd() {
    this.isFollowing = true;
    this.area.scrollTo({ top: this.end });
  }

  /** After something was added: shows it to a reader who follows, from its beginning where it is long. */
  follow(answer) {
    if (!this.isFollowing) return answer && this.tell();
    const top = answer ? answer.offsetTop - ABOVE_ANSWER_PX : this.end;
    this.area.scrollTo({ top: Math.min(this.end, top) });
    return undefined;
  }

  /** A reader who is elsewhere learns that there is a new answer. */
  tell() {
    this.button.replaceChildren(icon('down'), element('span', {}, t.newAnswer));
    this.button.hidden = false;
  }

  /** Makes a change above what is being read, which stays where it is on the screen. */
  hold(anchor, change) {
    const before = anchor?.getBoundingClientRect().top;
    change();
    if (anchor) this.area.scrollBy({ top: anchor.getBoundingClientRect().top - before, behavior: 'instant' });
  }
}
