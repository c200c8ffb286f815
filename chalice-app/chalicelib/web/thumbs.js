// Thumbs up and down under an answer. Sends nothing: whoever asks for them is told what was pressed.

import { iconButton } from './dom.js';
import { t } from './strings.js';

const THUMBS = { up: ['thumbUp', t.goodAnswer], down: ['thumbDown', t.badAnswer] };

/** Two buttons; `rate(rating)` is called with `up`, `down`, or null where the pressed one is pressed again. */
export function thumbs(rate) {
  return Object.entries(THUMBS).map(([rating, [name, label]]) => {
    const isPressed = () => button.getAttribute('aria-pressed') === 'true';
    const button = iconButton(name, label, () => rate(isPressed() ? null : rating), 'icon-button thumb');
    button.dataset.rating = rating;
    return button;
  });
}

/** Shows which of the thumbs in `node` is pressed. */
export function showThumbs(node, feedback) {
  for (const button of node.querySelectorAll('.thumb')) {
    button.setAttribute('aria-pressed', button.dataset.rating === feedback);
  }
}
