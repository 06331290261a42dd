/** Reads `/proc/PID/maps`: it may have 65,530 lines (vm.max_map_count), of 4 KiB each. */

/** 1,000 mappings. */
const USUAL_BYTES = 128 << 10;
/** 65,530 lines of usual length have 5 MiB. A process with more is hostile. */
const MAX_BYTES = 8 << 20;

const NEWLINE = 10;
const SPACE = 32;
const X = 120;

export class MapsReader {
  #usual: Buffer | undefined;

  /**
   * One character per byte (latin1): a name may hold any.
   * @param readInto fills as much as there is, or as there is room for
   * @param isExecutableOnly lines of mappings without code are left out
   * @throws Error, also when there is more than is read of any process
   */
  read(readInto: (bytes: Uint8Array) => number, isExecutableOnly: boolean): string {
    this.#usual ??= Buffer.allocUnsafe(USUAL_BYTES);
    for (let bytes = this.#usual; ; bytes = Buffer.allocUnsafe(bytes.length * 4)) {
      const length = readInto(bytes);
      if (length < bytes.length) {
        return isExecutableOnly ? executable(bytes, length) : bytes.toString('latin1', 0, length);
      }
      if (length >= MAX_BYTES) throw new Error('the process has too many mappings');
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
