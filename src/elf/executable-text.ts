/** The bytes of the executable segments by text offset, and the signal trampoline among them. */
import { malformed } from './failure.ts';
import { SEGMENT_EXECUTABLE, SegmentType } from './headers.ts';
import type { ElfImage } from './image.ts';
import type { ByteSource } from './source.ts';

/** mov $15, %rax; syscall: rt_sigreturn, in glibc and musl alike (x86-64). */
const RESTORER = Buffer.of(0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05);
export const RESTORER_SIZE = RESTORER.length;
const PIECE = 64 * 1024;

interface TextPart {
  readonly start: number;
  readonly bytes: ByteSource;
}

export class ExecutableText {
  readonly #parts: readonly TextPart[];

  constructor(image: ElfImage) {
    const parts: TextPart[] = [];
    for (const segment of image.segments) {
      if (segment.type !== SegmentType.Load || (segment.flags & SEGMENT_EXECUTABLE) === 0) continue;
      try {
        parts.push({ start: segment.address - image.textBase, bytes: image.view(segment) });
      } catch (error) {
        // A segment that reaches beyond the end of a cut file: its bytes are not looked at.
        malformed(error);
      }
    }
    this.#parts = parts;
  }

  /** Whether the signal trampoline begins at this text offset. */
  hasRestorer(offset: number): boolean {
    for (const { start, bytes } of this.#parts) {
      const at = offset - start;
      if (at < 0 || at + RESTORER_SIZE > bytes.size) continue;
      return RESTORER.equals(bytes.read(at, RESTORER_SIZE));
    }
    return false;
  }

  /** Text offsets in [from, to) where the signal trampoline begins; as a rule none or one. */
  restorers(from: number, to: number): number[] {
    const found: number[] = [];
    for (const { start, bytes } of this.#parts) {
      const end = Math.min(to - start + RESTORER_SIZE - 1, bytes.size);
      let at = Math.max(from - start, 0);
      while (at + RESTORER_SIZE <= end) {
        const length = Math.min(PIECE, end - at);
        const piece = bytes.read(at, length);
        const haystack = Buffer.from(piece.buffer, piece.byteOffset, length);
        let hit = haystack.indexOf(RESTORER);
        while (hit >= 0) {
          found.push(start + at + hit);
          hit = haystack.indexOf(RESTORER, hit + RESTORER_SIZE);
        }
        if (length < PIECE) break;
        at += length - RESTORER_SIZE + 1;
      }
    }
    return found.sort((a, b) => a - b);
  }
}
