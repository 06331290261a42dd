/** The goroutine of a sample that came before the kernel side knew the process. */
import { GO_STATES, GoCopy, Sample, StackCopy as StackField } from '../capture/record.ts';
import type { Process } from '../process/process.ts';
import { copiedGoroutine, type Goroutine } from '../unwind/goroutine-copy.ts';
import type { Binary } from './binary.ts';
import { stackAt } from './stack-copy.ts';

const UNKNOWN_PROCESS = GO_STATES.indexOf('unknown_process');

/**
 * @param binaries open ones, by the id of their file
 * @param at where the sample's record begins
 * @returns undefined when it is not Go, or with two runtimes in one process
 */
export function deferredGoroutine(
  { mappings }: Process,
  binaries: ReadonlyMap<number, Binary>,
  records: DataView,
  at: number,
): Goroutine | undefined {
  if (records.getUint32(at + Sample.goState, true) !== UNKNOWN_PROCESS) return undefined;
  const runtimes = new Set<Binary>();
  for (const { what } of mappings) {
    const binary = what === 'anonymous' ? undefined : binaries.get(what.opened?.id ?? -1);
    if (binary?.isGo) runtimes.add(binary);
  }
  const [runtime] = runtimes;
  if (!runtime || runtimes.size > 1) return undefined;
  const copy = records.byteOffset + stackAt(records, at) + StackField.go;
  return copiedGoroutine(new DataView(records.buffer, copy, GoCopy.size), runtime.goThread);
}
