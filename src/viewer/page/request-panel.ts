/** The slowest traces, or who took part in the request that is shown. */
import { byId, make, setText } from './dom.ts';
import type { PartRow, RequestView, SpanRow, TraceRow, Traces, Work } from './request-data.ts';
import { isRequest, NOTHING, type Selection } from './selection.ts';
import { cut, formatCount, formatDuration, formatPercent, printable } from './text.ts';

const MOST_SPANS = 300;
const MOST_PROCESSES = 50;

export class RequestPanel {
  readonly #element = byId('requests', HTMLElement);
  readonly #content = byId('request-content', HTMLElement);
  readonly #choose: (selection: Selection) => void;
  #shown = '';

  constructor(choose: (selection: Selection) => void) {
    this.#choose = choose;
    // Arrows move among rows, so that a keyboard need not tab through hundreds.
    this.#content.addEventListener('keydown', (event) => {
      const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
      if (step === 0) return;
      const buttons = [...this.#content.querySelectorAll<HTMLButtonElement>('tbody button')];
      const next = buttons[buttons.indexOf(event.target as HTMLButtonElement) + step];
      if (!next) return;
      event.preventDefault();
      next.focus();
    });
  }

  showTraces({ traces, count }: Traces): void {
    this.#element.setAttribute('aria-label', 'Slowest traces');
    const most = Math.max(...traces.map(({ cpuNs }) => cpuNs));
    const all = count === 1 ? '1 trace' : `${formatCount(count)} traces`;
    const note = count > traces.length ? `${formatCount(traces.length)} of ${all}` : all;
    const table = this.#table('Slowest traces', `${note}, most CPU time first`, ['Trace']);
    for (const trace of traces) this.#traceRow(table, trace, most);
    if (traces.length === 0) {
      const cell = table.insertRow().insertCell();
      cell.colSpan = 2;
      cell.className = 'nothing';
      cell.append(
        make('b', '', 'No trace ids in these samples.'),
        make(
          'p',
          '',
          'They come from programs that tell which request a thread works for: Go with the OpenTelemetry profiling bridge, Node.js, and others that publish their thread context. A trace id of an earlier time can be pasted into the search field.',
        ),
      );
    }
    this.#replace('traces', [table.parentElement!]);
  }

  showRequest(selection: Selection, request: RequestView): void {
    this.#element.setAttribute('aria-label', 'The request');
    const children: HTMLElement[] = [];
    const { spans, spanCount, services, processes } = request;
    const most = Math.max(...spans.map(({ cpuNs }) => cpuNs));
    const note = spanCount === 1 ? '1 span' : `${formatCount(spanCount)} spans`;
    const table = this.#table('Spans that took part', note, ['Span', 'Seen']);
    for (const span of spans.slice(0, MOST_SPANS)) this.#spanRow(table, selection, span, most);
    if (selection.spanId !== '' && selection.traceId !== '') {
      const row = table.insertRow();
      row.insertCell();
      const cell = row.insertCell();
      cell.colSpan = 2;
      cell.append(this.#button('All spans of the trace', '', false, { ...selection, spanId: '' }));
    }
    children.push(table.parentElement!);
    const ofServices = this.#table('Services', '', ['Service', 'Seen']);
    const top = Math.max(...services.map(({ cpuNs }) => cpuNs));
    for (const service of services) this.#serviceRow(ofServices, selection, service, top);
    if (selection.service !== '') {
      const row = ofServices.insertRow();
      row.insertCell();
      const cell = row.insertCell();
      cell.colSpan = 2;
      cell.append(this.#button('All services', '', false, { ...selection, service: '' }));
    }
    const ofProcesses = this.#table('Processes', '', ['Process', 'Pid']);
    const busiest = Math.max(...processes.map(({ cpuNs }) => cpuNs));
    for (const process of processes.slice(0, MOST_PROCESSES)) {
      const row = ofProcesses.insertRow();
      cpuCell(row, process, busiest);
      const cell = row.insertCell();
      cell.className = 'plain';
      cell.append(make('span', 'name', cut(printable(process.name), 200)));
      row.append(timeCell(process, String(process.pid)));
    }
    children.push(ofServices.parentElement!, ofProcesses.parentElement!);
    this.#replace(JSON.stringify(selection), children);
  }

  /** Words in place of the tables. */
  showNothing(title: string, words: string): void {
    const box = make('div', 'nothing');
    box.append(make('b', '', title), make('p', '', words));
    this.#replace('', [box]);
  }

  /** Keeps the row that has the focus, unless something else is shown now. */
  #replace(shown: string, children: readonly HTMLElement[]): void {
    const active = document.activeElement as HTMLElement | null;
    const focused = this.#content.contains(active) ? active?.dataset.row : undefined;
    this.#content.replaceChildren(...children);
    if (shown !== this.#shown) byId('request-scroll', HTMLElement).scrollTop = 0;
    this.#shown = shown;
    if (focused === undefined) return;
    for (const button of this.#content.querySelectorAll('button')) {
      if (button.dataset.row === focused) button.focus();
    }
  }

  /** @returns its body */
  #table(title: string, note: string, columns: readonly string[]): HTMLTableSectionElement {
    const table = make('table');
    const caption = make('caption');
    caption.append(make('span', '', title), ' ', make('span', '', note));
    const head = table.createTHead().insertRow();
    for (const [at, name] of ['CPU time', ...columns].entries()) {
      const cell = make('th', ['number', '', 'seen'][at], name);
      cell.scope = 'col';
      head.append(cell);
    }
    const body = table.createTBody();
    table.prepend(caption);
    return body;
  }

  #traceRow(table: HTMLTableSectionElement, trace: TraceRow, most: number): void {
    const row = table.insertRow();
    cpuCell(row, trace, most);
    const { traceId, spanId, spans, services } = trace;
    const words = [
      clock(trace.lastMs),
      traceId === '' ? 'a span without a trace' : spanWords(spans),
      services.map((name) => cut(printable(name), 40)).join(', '),
    ];
    const button = this.#button(traceId || spanId, words.join(' · '), false, {
      ...NOTHING,
      traceId,
      spanId: traceId === '' ? spanId : '',
    });
    row.insertCell().append(button);
  }

  #spanRow(
    table: HTMLTableSectionElement,
    selection: Selection,
    span: SpanRow,
    most: number,
  ): void {
    const row = table.insertRow();
    cpuCell(row, span, most);
    const { spanId, traceId } = span;
    const isChosen = spanId !== '' && selection.spanId === spanId;
    const next = isChosen && traceId !== '' ? '' : spanId;
    const name = spanId === '' ? 'outside of any span' : spanId;
    const button = this.#button(name, cut(printable(span.service), 60), isChosen, {
      ...selection,
      traceId: traceId || selection.traceId,
      spanId: next,
    });
    button.disabled = spanId === '';
    row.classList.toggle('current', isChosen);
    row.insertCell().append(button);
    row.append(timeCell(span));
  }

  #serviceRow(
    table: HTMLTableSectionElement,
    selection: Selection,
    service: PartRow,
    most: number,
  ): void {
    const row = table.insertRow();
    cpuCell(row, service, most);
    const isChosen = selection.service === service.name;
    const button = this.#button(cut(printable(service.name), 200), '', isChosen, {
      ...selection,
      service: isChosen ? '' : service.name,
    });
    row.classList.toggle('current', isChosen);
    row.insertCell().append(button);
    row.append(timeCell(service));
  }

  #button(name: string, more: string, isChosen: boolean, selection: Selection): HTMLButtonElement {
    const button = make('button', isRequest(selection) ? 'request-row' : '');
    button.type = 'button';
    button.dataset.row = JSON.stringify([name, selection]);
    if (isChosen) button.setAttribute('aria-pressed', 'true');
    const isId = /^[0-9a-f]{16,32}$/.test(name);
    button.append(make('span', isId ? 'id' : 'name', name));
    if (more !== '') button.append(make('span', 'who', more));
    button.title = more === '' ? name : `${name}\n${more}`;
    button.addEventListener('click', () => this.#choose(selection));
    return button;
  }
}

const spanWords = (spans: number): string =>
  spans === 1 ? '1 span' : `${formatCount(spans)} spans`;

export const clock = (milliseconds: number): string =>
  milliseconds === 0 ? '' : new Date(milliseconds).toLocaleTimeString('en-GB');

function cpuCell(row: HTMLTableRowElement, work: Work, most: number): void {
  const cell = row.insertCell();
  cell.className = 'number';
  const bar = make('i');
  bar.style.width = `calc(${most > 0 ? (100 * work.cpuNs) / most : 0}% - 8px)`;
  cell.append(bar, make('span', '', formatDuration(work.cpuNs)));
  const samples = work.samples === 1 ? '1 sample' : `${formatCount(work.samples)} samples`;
  cell.title = `${samples}; ${formatPercent(work.cpuNs, most)} of the largest`;
  cell.append(make('small', '', samples));
}

/** @param text in place of the times */
function timeCell({ firstMs, lastMs }: Work, text?: string): HTMLTableCellElement {
  const cell = make('td', 'seen', text ?? clock(firstMs));
  if (firstMs === 0) return cell;
  if (text === undefined) cell.append(make('br'), `– ${clock(lastMs)}`);
  cell.title = `In profiles from ${new Date(firstMs).toLocaleString()} to ${new Date(lastMs).toLocaleString()}`;
  return cell;
}

/** What is chosen of a trace: all of it, a span, a service, or a span's work in one. */
function chosenOf({ spanId, service }: Selection, request: RequestView) {
  if (spanId === '' && service === '') {
    return { ...request, spans: request.spanCount, services: request.services.length };
  }
  const rows = request.spans.filter(
    (row) =>
      (spanId === '' || row.spanId === spanId) && (service === '' || row.service === service),
  );
  const sum = (of: (row: SpanRow) => number) => rows.reduce((all, row) => all + of(row), 0);
  return {
    samples: sum((row) => row.samples),
    cpuNs: sum((row) => row.cpuNs),
    firstMs: rows.reduce((least, { firstMs }) => Math.min(least, firstMs), request.lastMs),
    lastMs: rows.reduce((most, { lastMs }) => Math.max(most, lastMs), 0),
    spans: new Set(rows.map((row) => row.spanId)).size,
    services: new Set(rows.map((row) => row.service)).size,
  };
}

/** The line above the graph that says which request it is of. */
export class RequestBar {
  readonly #element = byId('request', HTMLElement);
  readonly #text = byId('request-text', HTMLElement);
  readonly #facts = byId('request-facts', HTMLElement);

  constructor(close: () => void) {
    byId('request-close', HTMLButtonElement).addEventListener('click', close);
    byId('request-copy', HTMLButtonElement).addEventListener('click', () => {
      // Refused without focus or permission: the address can still be copied by hand.
      navigator.clipboard?.writeText(location.href).catch(() => {});
    });
    byId('request-copy', HTMLButtonElement).hidden = !navigator.clipboard;
  }

  hide(): void {
    this.#element.hidden = true;
    this.#text.replaceChildren();
  }

  /** @param request the trace, undefined while nothing is known of it. @param profile where its pprof is */
  show(selection: Selection, request: RequestView | undefined, profile: string): void {
    const { traceId, spanId, service } = selection;
    const words: (string | HTMLElement)[] = [];
    if (traceId !== '') words.push('Trace ', make('code', '', traceId));
    if (spanId !== '') words.push(traceId === '' ? 'Span ' : ', span ', make('code', '', spanId));
    if (service !== '') words.push(` in ${cut(printable(service), 80)}`);
    this.#text.replaceChildren(...words);
    const facts: HTMLElement[] = [];
    if (request !== undefined) {
      const { cpuNs, samples, spans, services, firstMs, lastMs } = chosenOf(selection, request);
      const fact = (number: string, what: string) => {
        const item = make('span');
        item.append(make('b', '', number), ` ${what}`);
        facts.push(item);
      };
      fact(formatDuration(cpuNs), 'of CPU time');
      fact(formatCount(samples), samples === 1 ? 'sample' : 'samples');
      fact(formatCount(spans), spans === 1 ? 'span' : 'spans');
      fact(formatCount(services), services === 1 ? 'service' : 'services');
      if (firstMs > 0) facts.push(make('span', '', `${clock(firstMs)} – ${clock(lastMs)}`));
    }
    this.#facts.replaceChildren(...facts);
    const link = byId('request-pprof', HTMLAnchorElement);
    link.href = profile;
    link.hidden = request === undefined || chosenOf(selection, request).samples === 0;
    this.#element.hidden = false;
    setText(byId('request-close', HTMLElement), 'All samples');
  }
}
