/** Interned rows and stacks as the columns and lists of a profile. */
import type { SampleColumns } from './model.ts';
import type { WordTable } from './word-table.ts';

/** Process, thread, stack, labels. */
export const ROW_WORDS = 4;

/** @param counts by number of a row */
export function sampleColumns(
  { length, words }: Pick<WordTable, 'length' | 'words'>,
  counts: readonly number[],
): SampleColumns {
  const column = (field: number): Uint32Array => {
    const values = new Uint32Array(length);
    for (let row = 0; row < length; row++) values[row] = words[row * ROW_WORDS + field]!;
    return values;
  };
  return {
    length,
    process: column(0),
    thread: column(1),
    stack: column(2),
    labels: column(3),
    count: Uint32Array.from(counts),
  };
}

/** Location indices of each stack, in memory of their own. */
export function stackLists(stacks: WordTable): Uint32Array[] {
  const words = stacks.words.slice();
  const { starts } = stacks;
  return Array.from({ length: stacks.length }, (_, stack) =>
    words.subarray(starts[stack]!, starts[stack + 1]!),
  );
}
