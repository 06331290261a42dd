/**
 * Folded stacks: `process;outermost;…;leaf COUNT`, one line per different text,
 * sorted. With threads: `process;thread:NAME;outermost;…`, with ids
 * `process;trace_id:HEX;span_id:HEX;outermost;…` where they are known.
 */
import { framesOf, processText } from './frame.ts';
import { type Profile, SPAN_ID, TRACE_ID } from './model.ts';
import { requestOf } from './request-id.ts';
import { WordTable } from './word-table.ts';

export interface FoldedOptions {
  /** A second field `thread:NAME`. */
  readonly threads?: boolean;
  /** Fields `trace_id:HEX` and `span_id:HEX`, after the thread. */
  readonly ids?: boolean;
}

const pieceLength = 65_536;

/** The text in pieces of whole lines. */
export function* encodeFolded(profile: Profile, options: FoldedOptions = {}): Generator<string> {
  const fields = new Fields();
  const stacks = new Map<number, readonly number[]>();
  const lines = new WordTable();
  const counts: number[] = [];
  const { samples } = profile;
  for (let row = 0; row < samples.length; row++) {
    if (samples.count[row] === 0) continue;
    const stack = samples.stack[row]!;
    let frames = stacks.get(stack);
    if (frames === undefined) {
      frames = outermostFirst(profile, stack, fields);
      stacks.set(stack, frames);
    }
    const head = [fields.id(processText(profile.processes[samples.process[row]!]!))];
    if (options.threads) head.push(fields.id(`thread:${profile.threads[samples.thread[row]!]}`));
    if (options.ids) head.push(...idFields(profile, samples.labels[row]!, fields));
    const key = Uint32Array.from([...head, ...frames]);
    const line = lines.intern(key, 0, key.length, 0);
    counts[line] = (counts[line] ?? 0) + samples.count[row]!;
  }
  let piece = '';
  for (const line of fields.sorted(lines)) {
    piece += `${fields.text(lines, line)} ${counts[line]}\n`;
    if (piece.length >= pieceLength) {
      yield piece;
      piece = '';
    }
  }
  if (piece !== '') yield piece;
}

function idFields(profile: Profile, set: number, fields: Fields): number[] {
  const { traceId, spanId } = requestOf(profile.labelSets[set]!);
  return [
    ...(traceId === '' ? [] : [fields.id(`${TRACE_ID}:${traceId}`)]),
    ...(spanId === '' ? [] : [fields.id(`${SPAN_ID}:${spanId}`)]),
  ];
}

function outermostFirst(profile: Profile, stack: number, fields: Fields): readonly number[] {
  const leafFirst: number[] = [];
  for (const location of profile.stacks[stack]!) {
    for (const frame of framesOf(profile, profile.locations[location]!)) {
      leafFirst.push(fields.id(frame.name));
    }
  }
  return leafFirst.reverse();
}

/**
 * A separator, or anything that some reader of lines takes for the end of one, becomes `:`;
 * other control characters, which act on the terminal that shows the lines, become U+FFFD.
 */
export function foldedField(text: string): string {
  return (
    text
      .toWellFormed()
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
      .replace(/[;\n\v\f\r\x1c-\x1e\x85\u2028\u2029\0]/g, ':')
      .replace(/\p{Cc}/gu, '\ufffd')
  );
}

class Fields {
  readonly #texts: string[] = [];
  readonly #ids = new Map<string, number>();

  id(raw: string): number {
    let id = this.#ids.get(raw);
    if (id === undefined) {
      const text = foldedField(raw);
      id = this.#ids.get(text);
      if (id === undefined) {
        id = this.#texts.length;
        this.#texts.push(text);
        this.#ids.set(text, id);
      }
      this.#ids.set(raw, id);
    }
    return id;
  }

  text(lines: WordTable, line: number): string {
    const { words, starts } = lines;
    let text = this.#texts[words[starts[line]!]!]!;
    for (let at = starts[line]! + 1; at < starts[line + 1]!; at++) {
      text += `;${this.#texts[words[at]!]}`;
    }
    return text;
  }

  /** Line ids in the order of their fields; shorter lines before those that go on. */
  sorted(lines: WordTable): Uint32Array {
    const { words, starts } = lines;
    const byText = this.#texts.map((_, id) => id);
    byText.sort((a, b) => (this.#texts[a]! < this.#texts[b]! ? -1 : 1));
    const ranks = new Uint32Array(byText.length);
    byText.forEach((id, rank) => {
      ranks[id] = rank;
    });
    return Uint32Array.from({ length: lines.length }, (_, line) => line).sort((a, b) => {
      let left = starts[a]!;
      let right = starts[b]!;
      const leftEnd = starts[a + 1]!;
      const rightEnd = starts[b + 1]!;
      for (; left < leftEnd && right < rightEnd; left++, right++) {
        const order = ranks[words[left]!]! - ranks[words[right]!]!;
        if (order !== 0) return order;
      }
      return leftEnd - left - (rightEnd - right);
    });
  }
}
