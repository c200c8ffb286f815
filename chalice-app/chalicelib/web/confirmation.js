// Asks before something is lost. Knows not what.

/** Whether the visitor agrees. Escape and the way out mean no; that is where the focus is first. */
export function confirmed(dialog, { title, text, agree, decline }) {
  const [heading, paragraph] = dialog.querySelectorAll('h2, p');
  const [no, yes] = dialog.querySelectorAll('button');
  heading.textContent = title;
  paragraph.textContent = text;
  no.textContent = decline;
  yes.textContent = agree;
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}
