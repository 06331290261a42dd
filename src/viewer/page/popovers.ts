/** Opens each popover beside its button and keeps it inside the window. */
export function placePopovers(): void {
  for (const popover of document.querySelectorAll<HTMLElement>('[popover]')) {
    const button = document.querySelector<HTMLElement>(`[popovertarget="${popover.id}"]`);
    if (!button) continue;
    button.setAttribute('aria-expanded', 'false');
    popover.addEventListener('toggle', (event) => {
      const open = (event as ToggleEvent).newState === 'open';
      button.setAttribute('aria-expanded', String(open));
      if (!open) return;
      const anchor = button.getBoundingClientRect();
      const { clientWidth, clientHeight } = document.documentElement;
      const { width, height } = popover.getBoundingClientRect();
      const left = Math.max(8, Math.min(anchor.left, clientWidth - width - 8));
      const below = anchor.bottom + 6;
      const top = below + height > clientHeight - 8 ? Math.max(8, anchor.top - height - 6) : below;
      popover.style.left = `${left}px`;
      popover.style.top = `${top}px`;
    });
  }
}
