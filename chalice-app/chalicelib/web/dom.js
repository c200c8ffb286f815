// Builds and updates elements. The page's only way to make them: text goes in as text, never as HTML.
// Knows no conversation.

const SVG = 'http://www.w3.org/2000/svg';

// Outlines on a 24 x 24 grid, drawn for this page.
const ICONS = {
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  done: 'M4.5 12.5l5 5 10-11',
  down: 'M12 5v14M5.5 12.5L12 19l6.5-6.5',
  menu: 'M4 7h16M4 12h16M4 17h10',
  new: 'M12 5v14M5 12h14',
  retry: 'M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.4M20 4.5v4.9h-4.9',
  send: 'M12 19V5M5.5 11.5L12 5l6.5 6.5',
  stop: 'M7.5 7.5h9v9h-9z',
  thumbDown: 'M7.5 13.5h-3v-9h3zM7.5 13.5L11 19.8c1.3 0 2.3-1 2.3-2.3v-3h4.6a1.8 1.8 0 0 0 1.8-2.1l-1-6.3a1.8 1.8 0 0 0-1.8-1.6H7.5',
  thumbUp: 'M7.5 10.5h-3v9h3zM7.5 10.5L11 4.2c1.3 0 2.3 1 2.3 2.3v3h4.6a1.8 1.8 0 0 1 1.8 2.1l-1 6.3a1.8 1.8 0 0 1-1.8 1.6H7.5',
  trash: 'M4.5 7h15M9.5 7V4.5h5V7M6.5 7l.8 12.5h9.4L17.5 7M10.2 10.5v5.5M13.8 10.5v5.5',
  warning: 'M12 4.5L21 19.5H3zM12 10v4.5M12 17v.2',
};

/** An element; `properties` are DOM properties, attributes (with a dash, or `role`), or listeners (`onclick`). */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name.includes('-') || name === 'role') node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** A decorative icon; whatever holds it carries the name. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon alone; `label` is its name and its tooltip. */
export function iconButton(name, label, onclick, className = 'icon-button') {
  return element('button', { type: 'button', className, title: label, 'aria-label': label, onclick }, icon(name));
}

/**
 * Makes the children of `parent` those of `items`, in their order. An item keeps its element by `item.key`, so focus,
 * scroll positions and animations survive; only what is new is made.
 */
export function reconcile(parent, items, create, update) {
  const wanted = new Set(items.map((item) => item.key));
  const present = new Map();
  for (const node of [...parent.children]) {
    if (wanted.has(node.dataset.key)) present.set(node.dataset.key, node);
    else node.remove();
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const node = present.get(item.key) ?? create(item);
    node.dataset.key = item.key;
    update?.(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
}
