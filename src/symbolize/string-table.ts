/** Names in an ELF string table. */
import type { ByteSource } from '../elf/source.ts';

/** Mangled names beyond this are cut, and so are not demangled. Real ones reach about 8 KiB. */
const MAX_LINKER_NAME = 16 << 10;
/** First read of a name: nine of ten end within it. */
const NAME_READ = 128;

export class StringTable {
  readonly #bytes: ByteSource;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(bytes: ByteSource) {
    this.#bytes = bytes;
  }

  /**
   * The name at `offset`; undefined when that is outside of the table.
   * @throws ParseError when the file ends early.
   */
  text(offset: number): string | undefined {
    const limit = Math.min(this.#bytes.size - offset, MAX_LINKER_NAME);
    if (limit <= 0) return undefined;
    for (let length = Math.min(NAME_READ, limit); ; length = Math.min(length * 8, limit)) {
      const bytes = this.#bytes.read(offset, length);
      const end = bytes.indexOf(0);
      if (end < 0 && length < limit) continue;
      return this.#decoder.decode(end >= 0 ? bytes.subarray(0, end) : bytes);
    }
  }
}
