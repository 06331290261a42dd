/** Where `/proc/PID/maps` shows a process context, and what memory an address is. */
import { type ProcessAddress, processAddress } from '../units/units.ts';

/**
 * A name begins with one of these: of a memfd, of one that was named after it was
 * mapped, of anonymous memory. The kernel adds ` (deleted)` to the first.
 */
const NAMES = ['/memfd:OTEL_CTX', '[anon_shmem:OTEL_CTX]', '[anon:OTEL_CTX]'] as const;
const MARK = 'OTEL_CTX';
/** A process has one; others are somebody's joke. */
const MAX_PLACES = 8;

const LINE = /^([0-9a-f]{1,13})-([0-9a-f]{1,13}) (r.-.) [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ \d+ *(.*)$/;

/** Beginnings of mappings that are named as a process context and can hold no code. */
export function contextMappings(maps: string): ProcessAddress[] {
  const found: ProcessAddress[] = [];
  let at = maps.indexOf(MARK);
  while (at >= 0 && found.length < MAX_PLACES) {
    const start = maps.lastIndexOf('\n', at) + 1;
    const end = endOfLine(maps, at);
    const [, address, , , name] = LINE.exec(maps.slice(start, end)) ?? [];
    if (address !== undefined && NAMES.some((one) => name!.startsWith(one))) {
      found.push(processAddress(Number.parseInt(address, 16)));
    }
    at = maps.indexOf(MARK, end);
  }
  return found;
}

/**
 * What all of a range is: memory of the process itself (anonymous, or a memfd), a
 * mapped file in part, or not mapped. To read a mapped file may take as long as its
 * file system likes, and a process can bring its own.
 */
export function memoryAt(maps: string, address: number, size: number): 'own' | 'file' | 'none' {
  let next = address;
  for (let at = 0; at < maps.length; at = endOfLine(maps, at) + 1) {
    const dash = maps.indexOf('-', at);
    const end = Number.parseInt(maps.slice(dash + 1, dash + 17), 16);
    // Lines are in ascending order.
    if (!(end > next)) continue;
    const start = Number.parseInt(maps.slice(at, dash), 16);
    if (start > next) return 'none';
    if (!isWithoutFile(maps.slice(at, endOfLine(maps, at)))) return 'file';
    if (end >= address + size) return 'own';
    next = end;
  }
  return 'none';
}

function isWithoutFile(line: string): boolean {
  const [, inode, name] = /^\S+ \S+ \S+ \S+ (\d+) *(.*)$/.exec(line) ?? [];
  return inode === '0' || /^(\/memfd:|\[anon_shmem:)/.test(name ?? '');
}

function endOfLine(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
}
