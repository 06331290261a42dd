/** Which of the kept rows a question is about. */
import { processText, serviceText } from '../profile/frame.ts';
import type { InternedTables } from './interned-tables.ts';
import { LABEL_WORDS, SPAN_WORDS, TRACE_WORDS, writeHex } from './label-table.ts';
import { LABELS, PROCESS } from './segment.ts';

/** Absent or empty: all. */
export interface RowQuery {
  /** Shown names. */
  readonly processes?: readonly string[];
  readonly services?: readonly string[];
  /** 32 digits of lower-case hex. */
  readonly traceId?: string;
  /** 16. */
  readonly spanId?: string;
}

export class RowFilter {
  /** 1 for those that are wanted; undefined = all are. */
  readonly #processes: Uint8Array | undefined;
  readonly #labels: Uint8Array | undefined;

  constructor(query: RowQuery, tables: InternedTables) {
    this.#processes = wantedProcesses(query, tables);
    this.#labels = wantedLabels(query, tables);
  }

  has(rows: Uint32Array, at: number): boolean {
    return (
      (this.#labels === undefined || this.#labels[rows[at + LABELS]!] === 1) &&
      (this.#processes === undefined || this.#processes[rows[at + PROCESS]!] === 1)
    );
  }
}

function wantedProcesses(
  { processes = [], services = [] }: RowQuery,
  tables: InternedTables,
): Uint8Array | undefined {
  if (processes.length === 0 && services.length === 0) return undefined;
  return Uint8Array.from(tables.processes, (process) =>
    Number(
      (processes.length === 0 || processes.includes(processText(process))) &&
        (services.length === 0 || services.includes(serviceText(process))),
    ),
  );
}

function wantedLabels(
  { traceId = '', spanId = '' }: RowQuery,
  { labelSets }: InternedTables,
): Uint8Array | undefined {
  if (traceId === '' && spanId === '') return undefined;
  const id = new Uint32Array(TRACE_WORDS + SPAN_WORDS);
  writeHex(id, 0, TRACE_WORDS, traceId);
  writeHex(id, TRACE_WORDS, SPAN_WORDS, spanId);
  const first = traceId === '' ? TRACE_WORDS : 0;
  const end = spanId === '' ? TRACE_WORDS : id.length;
  const { words, length } = labelSets;
  const wanted = new Uint8Array(length);
  for (let set = 0; set < length; set++) {
    let difference = 0;
    for (let word = first; word < end; word++) {
      difference |= words[set * LABEL_WORDS + word]! ^ id[word]!;
    }
    if (difference === 0) wanted[set] = 1;
  }
  return wanted;
}
