// On a narrow screen the side panel slides over the page; on a wide one it stands beside it. Knows not what is in it.

const narrow = window.matchMedia('(max-width: 760px)');

export class Drawer {
  constructor({ panel, page, opener, closer, backdrop }) {
    Object.assign(this, { panel, page, opener });
    opener.addEventListener('click', () => this.set(true));
    for (const node of [closer, backdrop]) node.addEventListener('click', () => this.close());
    document.addEventListener('keydown', (event) => event.key === 'Escape' && this.close());
    narrow.addEventListener('change', () => this.set(false));
    this.set(false);
  }

  /** Closes it where it covers the page; the focus goes back to what opened it. */
  close() {
    if (!this.isOpen) return;
    this.set(false);
    this.opener.focus();
  }

  set(isOpen) {
    this.isOpen = isOpen && narrow.matches;
    document.body.classList.toggle('drawer-open', this.isOpen);
    this.opener.setAttribute('aria-expanded', String(this.isOpen));
    // What is covered or out of sight can be neither reached nor read out.
    this.panel.inert = narrow.matches && !this.isOpen;
    this.page.inert = this.isOpen;
    if (this.isOpen) this.panel.querySelector('button').focus();
  }
}
