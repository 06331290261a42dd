import { byId, make, setText } from './dom.ts';
import { cut, formatPercent, printable } from './text.ts';

export interface ProcessShare {
  readonly name: string;
  readonly total: number;
}

/** More rows would only be scrolled past; the search field reaches the rest. */
const MOST_SHOWN = 500;

/** Chooses the processes to show. null = all, also those that come later. */
export class ProcessMenu {
  readonly #button = byId('processes-button', HTMLButtonElement);
  readonly #filter = byId('process-filter', HTMLInputElement);
  readonly #list = byId('process-list', HTMLElement);
  readonly #change: (chosen: ReadonlySet<string> | null) => void;
  #processes: readonly ProcessShare[] = [];
  #chosen: Set<string> | null = null;

  constructor(change: (chosen: ReadonlySet<string> | null) => void) {
    this.#change = change;
    this.#filter.addEventListener('input', () => this.#render());
    byId('process-all', HTMLButtonElement).addEventListener('click', () => this.#choose(null));
    byId('process-none', HTMLButtonElement).addEventListener('click', () =>
      this.#choose(new Set()),
    );
  }

  show(processes: readonly ProcessShare[]): void {
    this.#processes = processes;
    this.#render();
  }

  #choose(chosen: Set<string> | null): void {
    this.#chosen = chosen;
    this.#render();
    this.#change(chosen);
  }

  #toggle(name: string, on: boolean): void {
    const chosen = new Set(this.#chosen ?? this.#processes.map((process) => process.name));
    if (on) chosen.add(name);
    else chosen.delete(name);
    const all = this.#processes.every((process) => chosen.has(process.name));
    this.#choose(all ? null : chosen);
  }

  #render(): void {
    const chosen = this.#chosen;
    const only = chosen?.size === 1 ? [...chosen][0]! : '';
    setText(
      this.#button,
      chosen === null
        ? `All processes (${this.#processes.length})`
        : only !== ''
          ? cut(printable(only), 40)
          : `${chosen.size} of ${this.#processes.length} processes`,
    );
    this.#button.setAttribute('aria-pressed', String(chosen !== null));
    const all = this.#processes.reduce((total, process) => total + process.total, 0);
    const wanted = this.#filter.value.trim().toLowerCase();
    const focused = (document.activeElement as HTMLElement | null)?.dataset?.process;
    const items: HTMLElement[] = [];
    for (const process of this.#processes) {
      if (items.length >= MOST_SHOWN) break;
      if (!process.name.toLowerCase().includes(wanted)) continue;
      const box = make('input');
      box.type = 'checkbox';
      box.checked = chosen === null || chosen.has(process.name);
      box.dataset.process = process.name;
      box.addEventListener('change', () => this.#toggle(process.name, box.checked));
      const label = make('label');
      label.append(
        box,
        make('span', 'name', cut(printable(process.name), 200)),
        make('span', 'share', formatPercent(process.total, all)),
      );
      const item = make('li');
      item.append(label);
      items.push(item);
    }
    if (items.length === 0) items.push(make('li', 'nothing', 'No process of that name.'));
    this.#list.replaceChildren(...items);
    if (focused !== undefined) {
      for (const box of this.#list.querySelectorAll('input')) {
        if (box.dataset.process === focused) box.focus();
      }
    }
  }
}
