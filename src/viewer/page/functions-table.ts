import { frameName } from './describe.ts';
import { byId, make, setText } from './dom.ts';
import { type FunctionRow, hottestFunctions, type SortKey, sortRows } from './hottest.ts';
import { kindLabel } from './palette.ts';
import { baseName, cut, formatCount, formatDuration, formatPercent, printable } from './text.ts';
import type { View } from './view.ts';

const PAGE = 200;
const SORTS: readonly SortKey[] = ['self', 'total', 'name'];

/** The graph's content as a table: for reading, for keyboards and for screen readers. */
export class FunctionsTable {
  readonly #body = byId('rows', HTMLTableSectionElement);
  readonly #more = byId('more', HTMLButtonElement);
  readonly #note = byId('functions-note', HTMLElement);
  readonly #pick: (frame: number) => void;
  #view: View | null = null;
  #rows: readonly FunctionRow[] = [];
  #matches: Uint8Array | null = null;
  #sort: SortKey = 'self';
  #limit = PAGE;
  #current = -1;
  #periodNs = 0;

  constructor(pick: (frame: number) => void) {
    this.#pick = pick;
    for (const key of SORTS) {
      this.#header(key)
        .querySelector('button')!
        .addEventListener('click', () => {
          this.#sort = key;
          this.#limit = PAGE;
          this.#render();
        });
    }
    this.#more.addEventListener('click', () => {
      this.#limit += PAGE;
      this.#render();
    });
    // Arrows move among rows, so that a keyboard need not tab through hundreds.
    this.#body.addEventListener('keydown', (event) => {
      const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
      if (step === 0) return;
      const buttons = [...this.#body.querySelectorAll('button')];
      const next = buttons[buttons.indexOf(event.target as HTMLButtonElement) + step];
      if (!next) return;
      event.preventDefault();
      next.focus();
    });
  }

  show(view: View, matches: Uint8Array | null, periodNs: number): void {
    if (view !== this.#view) this.#rows = hottestFunctions(view);
    this.#view = view;
    this.#matches = matches;
    this.#periodNs = periodNs;
    this.#render();
  }

  setCurrent(frame: number): void {
    this.#current = frame;
    for (const row of this.#body.rows) {
      row.classList.toggle('current', row.dataset.frame === String(frame));
    }
  }

  #header(key: SortKey): HTMLElement {
    return byId(`sort-${key}`, HTMLElement);
  }

  #render(): void {
    const view = this.#view;
    if (!view) return;
    for (const key of SORTS) {
      if (key === this.#sort) {
        this.#header(key).setAttribute('aria-sort', key === 'name' ? 'ascending' : 'descending');
      } else this.#header(key).removeAttribute('aria-sort');
    }
    const matches = this.#matches;
    const wanted = matches ? this.#rows.filter((row) => matches[row.frame] === 1) : this.#rows;
    const sorted = sortRows(view, wanted, this.#sort);
    setText(
      this.#note,
      matches
        ? `${formatCount(sorted.length)} of ${formatCount(this.#rows.length)} match`
        : `${formatCount(sorted.length)}`,
    );
    const focused = (document.activeElement as HTMLElement | null)?.closest('tr')?.dataset.frame;
    const scale = sorted.reduce(
      (most, row) => ({
        self: Math.max(most.self, row.self),
        total: Math.max(most.total, row.total),
      }),
      { self: 0, total: 0 },
    );
    this.#body.replaceChildren(
      ...sorted.slice(0, this.#limit).map((row) => this.#row(view, row, scale)),
    );
    if (sorted.length === 0) {
      const cell = this.#body.insertRow().insertCell();
      cell.colSpan = 3;
      cell.className = 'nothing';
      cell.textContent = matches ? 'No function matches the search.' : 'No samples yet.';
    }
    this.#more.hidden = sorted.length <= this.#limit;
    setText(this.#more, `Show ${PAGE} more of ${formatCount(sorted.length - this.#limit)}`);
    this.setCurrent(this.#current);
    if (focused !== undefined) {
      this.#body.querySelector<HTMLElement>(`tr[data-frame="${Number(focused)}"] button`)?.focus();
    }
  }

  #row(
    view: View,
    { frame: index, self, total }: FunctionRow,
    scale: { self: number; total: number },
  ) {
    const all = view.total[0]!;
    const frame = view.frames[index]!;
    const row = make('tr');
    row.dataset.frame = String(index);
    const number = (samples: number, most: number) => {
      const cell = make('td', samples === 0 ? 'number zero' : 'number');
      const bar = make('i');
      bar.style.width = `calc(${most > 0 ? (100 * samples) / most : 0}% - 8px)`;
      if (samples === 0) bar.hidden = true;
      cell.append(bar, make('span', '', formatPercent(samples, all)));
      const time = this.#periodNs > 0 ? `, ${formatDuration(samples * this.#periodNs)}` : '';
      cell.title = `${formatCount(samples)} samples${time}`;
      return cell;
    };
    const button = make('button');
    button.type = 'button';
    const name = frameName(frame);
    button.title = cut(`${name}\n${printable(frame.module)}`, 600);
    const module = baseName(printable(frame.module)) || kindLabel(frame.type);
    button.append(make('span', 'name', cut(name, 300)), make('span', 'module', module));
    button.addEventListener('click', () => this.#pick(index));
    const cell = make('td');
    cell.append(button);
    row.append(number(self, scale.self), number(total, scale.total), cell);
    return row;
  }
}
