import { amounts, frameName, kindOf, sourceOf, swatch } from './describe.ts';
import { make } from './dom.ts';
import type { Theme } from './palette.ts';
import { cut, NAME_LIMIT, printable } from './text.ts';
import type { View } from './view.ts';

export interface DetailsEvents {
  zoom(node: number): void;
  /** Highlight every place of this function. */
  find(frame: number): void;
}

/** Everything about the selected frame, with buttons that touch can reach. */
export class Details {
  readonly #element: HTMLElement;
  readonly #events: DetailsEvents;

  constructor(element: HTMLElement, events: DetailsEvents) {
    this.#element = element;
    this.#events = events;
  }

  hide(): void {
    this.#element.hidden = true;
  }

  show(view: View, node: number, zoomed: number, periodNs: number, theme: Theme): void {
    const frameIndex = view.frame[node]!;
    const frame = view.frames[frameIndex]!;
    const heading = make('h2', '', frameName(frame));
    const where = make('p', 'where');
    const kind = make('span', 'kind');
    kind.append(swatch(frame.type, theme), kindOf(frame));
    where.append(kind);
    for (const text of [cut(printable(frame.module), NAME_LIMIT), sourceOf(frame)]) {
      if (text !== '') where.append(` · ${text}`);
    }
    const list = make('dl');
    for (const amount of amounts(view, node, zoomed, periodNs)) {
      list.append(
        make('dt', '', amount.label),
        make('dd', '', amount.share),
        make('dd', '', amount.time),
        make('dd', 'all', amount.samples),
      );
    }
    const actions = make('div', 'actions');
    actions.append(
      this.#button(node === zoomed ? 'Zoomed' : 'Zoom in', node === zoomed, () =>
        this.#events.zoom(node),
      ),
      this.#button('Find all', frame.type === 'root', () => this.#events.find(frameIndex)),
    );
    if (navigator.clipboard) {
      actions.append(
        this.#button('Copy name', false, () => {
          // Refused without focus or permission: the name can still be selected by hand.
          navigator.clipboard.writeText(frame.name).catch(() => {});
        }),
      );
    }
    const focused = this.#element.contains(document.activeElement)
      ? [...this.#element.querySelectorAll('button')].indexOf(
          document.activeElement as HTMLButtonElement,
        )
      : -1;
    this.#element.replaceChildren(heading, where, list, actions);
    this.#element.hidden = false;
    if (focused >= 0) this.#element.querySelectorAll('button')[focused]?.focus();
  }

  #button(text: string, disabled: boolean, action: () => void): HTMLButtonElement {
    const button = make('button', '', text);
    button.type = 'button';
    button.disabled = disabled;
    button.addEventListener('click', action);
    return button;
  }
}
