import { amounts, frameName, kindOf, sourceOf, swatch } from './describe.ts';
import { make } from './dom.ts';
import type { Theme } from './palette.ts';
import { baseName, cut, printable } from './text.ts';
import type { View } from './view.ts';

const GAP = 14;
const MARGIN = 8;

/** The small card beside the pointer. */
export class Tooltip {
  readonly #element: HTMLElement;
  #shown: unknown[] = [];

  constructor(element: HTMLElement) {
    this.#element = element;
  }

  hide(): void {
    this.#element.hidden = true;
  }

  show(
    view: View,
    node: number,
    zoomed: number,
    periodNs: number,
    theme: Theme,
    x: number,
    y: number,
  ) {
    const element = this.#element;
    const shown = [view, node, zoomed, theme];
    if (element.hidden || shown.some((value, at) => value !== this.#shown[at])) {
      this.#shown = shown;
      const frame = view.frames[view.frame[node]!]!;
      const name = make('div', 'name', cut(frameName(frame), 600));
      const where = make('div', 'where');
      const source = sourceOf(frame);
      const words = [kindOf(frame), baseName(printable(frame.module)), source];
      where.append(swatch(frame.type, theme), words.filter((word) => word !== '').join(' · '));
      const table = make('table');
      for (const amount of amounts(view, node, zoomed, periodNs)) {
        const row = table.insertRow();
        for (const text of [amount.label, amount.share, amount.time, amount.samples]) {
          row.insertCell().textContent = text;
        }
      }
      element.replaceChildren(name, where, table);
      element.hidden = false;
    }
    const { width, height } = element.getBoundingClientRect();
    const right = document.documentElement.clientWidth - MARGIN;
    const bottom = document.documentElement.clientHeight - MARGIN;
    const left = x + GAP + width > right ? Math.max(MARGIN, x - GAP - width) : x + GAP;
    const top = y + GAP + height > bottom ? Math.max(MARGIN, y - GAP - height) : y + GAP;
    element.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }
}
