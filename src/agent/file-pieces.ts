/** A file of the kernel's that is large and need not be in memory as a whole. */
import { closeSync, openSync, readSync } from 'node:fs';

const PIECE_BYTES = 256 << 10;

/** Its contents, each piece in the same memory; none, or no more, where it cannot be read. */
export function* filePieces(path: string): Generator<Uint8Array> {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return;
  }
  const piece = new Uint8Array(PIECE_BYTES);
  try {
    for (let isMore = true; isMore; ) {
      const length = filled(fd, piece);
      isMore = length === piece.length;
      yield piece.subarray(0, length);
    }
  } finally {
    closeSync(fd);
  }
}

/** The kernel gives a page at a time. */
function filled(fd: number, piece: Uint8Array): number {
  let length = 0;
  try {
    while (length < piece.length) {
      const read = readSync(fd, piece, length, piece.length - length, null);
      if (read === 0) break;
      length += read;
    }
  } catch {
    // What was read counts.
  }
  return length;
}
