/** Reads `/proc/PID/maps` in pieces: it may have 65,530 lines (vm.max_map_count), of 4 KiB each. */
import { closeSync, openSync, readSync } from 'node:fs';

/** Longer than any line: a path has at most 4,095 bytes, each of which may be written as `\012`. */
const PIECE_BYTES = 64 << 10;
/** Of the lines that are kept; 65,530 of usual length have 5 MiB. A process with more is hostile. */
const MAX_KEPT_BYTES = 8 << 20;

const NEWLINE = 10;
const SPACE = 32;
const X = 120;

export class MapsReader {
  #piece: Buffer | undefined;

  /**
   * One character per byte (latin1): a name may hold any.
   * @param isExecutableOnly lines of mappings without code are left out
   * @throws Error, also when there is more than is kept of any process
   */
  read(path: string, isExecutableOnly: boolean): string {
    this.#piece ??= Buffer.allocUnsafe(PIECE_BYTES);
    const piece = this.#piece;
    const kept: string[] = [];
    let room = MAX_KEPT_BYTES;
    const fd = openSync(path, 'r');
    try {
      for (let rest = 0; ; ) {
        const got = readSync(fd, piece, rest, PIECE_BYTES - rest, null);
        const end = rest + got;
        // At the end of the file the last line is there, newline or not.
        const whole = got === 0 ? end : piece.lastIndexOf(NEWLINE, end - 1) + 1;
        const lines = isExecutableOnly
          ? executable(piece, whole)
          : piece.toString('latin1', 0, whole);
        if (lines.length > room) throw new Error(`${path} is too long`);
        if (lines !== '') kept.push(lines);
        room -= lines.length;
        if (got === 0) return kept.join('');
        piece.copyWithin(0, whole, end);
        rest = end - whole;
      }
    } finally {
      closeSync(fd);
    }
  }
}

/** Whole lines up to `end` of which the third permission, "start-end rwxp", is an x. */
function executable(piece: Buffer, end: number): string {
  let lines = '';
  for (let at = 0; at < end; ) {
    const newline = piece.indexOf(NEWLINE, at);
    const next = newline < 0 || newline >= end ? end : newline + 1;
    const space = piece.indexOf(SPACE, at);
    if (space >= 0 && space + 3 < next && piece[space + 3] === X) {
      lines += piece.toString('latin1', at, next);
    }
    at = next;
  }
  return lines;
}
