import { frameName } from './describe.ts';
import { make } from './dom.ts';
import { labelForms } from './label.ts';
import { cut, printable } from './text.ts';
import type { View } from './view.ts';

/** Shown before and after the gap of a long path. */
const HEAD = 2;
const TAIL = 4;

/** The way from the root to what fills the width. */
export function showCrumbs(
  list: HTMLElement,
  view: View,
  zoomed: number,
  go: (node: number) => void,
): void {
  const path: number[] = [];
  for (let node = zoomed; node !== 0; node = view.parent[node]!) path.push(node);
  path.push(0);
  path.reverse();
  const items: HTMLElement[] = [];
  path.forEach((node, at) => {
    const skipped = path.length - HEAD - TAIL;
    if (skipped > 1 && at >= HEAD && at < HEAD + skipped) {
      if (at > HEAD) return;
      const gap = make('li', '', `… ${skipped} more`);
      items.push(gap);
      return;
    }
    const frame = view.frames[view.frame[node]!]!;
    const button = make('button', '', cut(printable(labelForms(frame.short).at(-1)!), 80));
    button.type = 'button';
    button.title = cut(frameName(frame), 400);
    if (node === zoomed) button.setAttribute('aria-current', 'true');
    button.addEventListener('click', () => go(node));
    const item = make('li');
    item.append(button);
    items.push(item);
  });
  list.replaceChildren(...items);
}
