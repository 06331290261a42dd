/** Reads `/proc/PID/maps` in pieces: it may have 262,144 lines, as search engines need, of 4 KiB each. */

/**
 * 1,000 mappings. Longer than any usual line: a name that can be opened has at most 4,095 bytes, each
 * of which may be written as `\012`. Folder by folder a process goes deeper: that path is hostile.
 */
const PIECE_BYTES = 128 << 10;
/** Of the lines that are kept; 65,530 of usual length have 5 MiB. A process with more code is hostile. */
const MAX_KEPT_BYTES = 8 << 20;
/** Of all lines: 262,144 of usual length have 25 MiB. The kernel takes a second to write 2 GiB of long ones. */
const MAX_READ_BYTES = 128 << 20;

const NEWLINE = 10;
const SPACE = 32;
const X = 120;

export class MapsReader {
  #piece: Buffer | undefined;

  /**
   * One character per byte (latin1): a name may hold any.
   * @param readInto fills as much as there is from that position on, or as there is room for
   * @param isExecutableOnly lines of mappings without code are left out
   * @throws Error, also when there is more than is kept of any process
   */
  read(
    readInto: (bytes: Uint8Array, position: number) => number,
    isExecutableOnly: boolean,
  ): string {
    this.#piece ??= Buffer.allocUnsafe(PIECE_BYTES);
    const piece = this.#piece;
    const kept: string[] = [];
    let room = MAX_KEPT_BYTES;
    // Where the piece lies, and how much of it is the beginning of a line that was cut.
    for (let position = 0, rest = 0; ; ) {
      const got = readInto(piece.subarray(rest), position);
      const end = rest + got;
      position += got;
      const isLast = end < PIECE_BYTES;
      // At the end of the file the last line is there, newline or not.
      const whole = isLast ? end : piece.lastIndexOf(NEWLINE, end - 1) + 1;
      if (whole === 0 && !isLast) throw new Error('the process has a mapping with an endless path');
      if (position > MAX_READ_BYTES) throw new Error('the process has too many mappings');
      const lines = isExecutableOnly
        ? executable(piece, whole)
        : piece.toString('latin1', 0, whole);
      if (lines.length > room) throw new Error('the process has too many mappings');
      if (lines !== '') kept.push(lines);
      room -= lines.length;
      if (isLast) return kept.join('');
      piece.copyWithin(0, whole, end);
      rest = end - whole;
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
