/** perf as a peer: its text output in the shape of our own `json`. */
import type { JsonFrame, JsonSample } from '../harness/chains.ts';

/**
 * Arguments of `perf record`. Without -N it links each program into its cache of build ids: that
 * changes the inode while we read it, and ours is then a file that was written to.
 */
export const PERF_RECORD = ['record', '-q', '-N', '-e', 'cpu-clock'];

/**
 * Arguments of `perf script` whose output `parsePerfScript` reads. Without
 * --no-inline perf 6.1 starts addr2line for every address.
 */
export const PERF_SCRIPT_FIELDS = ['--no-inline', '-F', 'comm,pid,tid,ip,sym,dso'];

function parseFrame(line: string): JsonFrame | undefined {
  const match = /^\s+([0-9a-f]+) (.*) \(([^()]*(?: \(deleted\))?)\)$/.exec(line);
  if (match === null) return undefined;
  const [, address, symbol, module] = match;
  const kernel = /^\[(kernel|guest|k)/.test(module!) || address!.startsWith('ffffffff');
  return {
    name: symbol === '[unknown]' ? '' : symbol!,
    file: '',
    line: 0,
    module: module!,
    type: kernel ? 'kernel' : 'native',
    inlined: false,
  };
}

/** Samples from `perf script -F comm,pid,tid,ip,sym,dso`; equal ones are not merged. */
export function parsePerfScript(text: string): JsonSample[] {
  const samples: JsonSample[] = [];
  for (const block of text.split('\n\n')) {
    const lines = block.split('\n').filter((line) => line !== '');
    const head = /^(.*?)\s+(\d+)\/(\d+)\s*$/.exec(lines[0] ?? '');
    if (head === null) continue;
    const stack = lines.slice(1).flatMap((line) => parseFrame(line) ?? []);
    samples.push({
      process: head[1]!.trim(),
      pid: Number(head[2]),
      thread: head[1]!.trim(),
      stack,
      count: 1,
    });
  }
  return samples;
}
