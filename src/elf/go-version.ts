/** Which release of Go built a binary: from its build information or, without, from the runtime's own variable. */
import { readGoBuildInfo } from './go-buildinfo.ts';
import type { GoMemory } from './go-memory.ts';
import { readUnsigned64, viewOf } from './headers.ts';
import type { ElfImage } from './image.ts';

const SYMBOL_SIZE = 24;
const SYMBOLS_PER_READ = 2048;
/** The largest Go programs known have about 600,000. */
const MAX_SYMBOLS = 1 << 20;
const STRING_HEADER = 16;
const MAX_VERSION = 256;
const VARIABLE = new TextEncoder().encode('runtime.buildVersion\0');

/**
 * As `runtime.Version()`; undefined when the binary does not say.
 * @throws ParseError when build information or symbols are broken.
 */
export function goVersion(image: ElfImage, memory: GoMemory): string | undefined {
  return readGoBuildInfo(image)?.version ?? versionVariable(image, memory);
}

function versionVariable(image: ElfImage, memory: GoMemory): string | undefined {
  const address = versionAddress(image);
  const header = address === undefined ? undefined : memory.bytes(address, STRING_HEADER);
  if (address === undefined || header === undefined) return undefined;
  const length = readUnsigned64(viewOf(header), 8);
  const start = memory.pointer(address) ?? 0;
  const text = length > 0 && length <= MAX_VERSION ? memory.bytes(start, length) : undefined;
  return text && Buffer.from(text).toString('latin1');
}

/** Where the variable is; only stripped binaries have no symbol for it. */
function versionAddress(image: ElfImage): number | undefined {
  const symbols = image.section('.symtab');
  const strings = image.section('.strtab');
  if (!symbols || !strings) return undefined;
  const table = image.view(symbols);
  const names = image.view(strings);
  const size = Math.min(table.size, MAX_SYMBOLS * SYMBOL_SIZE);
  const step = SYMBOLS_PER_READ * SYMBOL_SIZE;
  for (let at = 0; at + SYMBOL_SIZE <= size; at += step) {
    // Names may come from the same source, whose bytes are valid until its next read.
    const view = viewOf(table.read(at, Math.min(step, size - at)).slice());
    for (let entry = 0; entry + SYMBOL_SIZE <= view.byteLength; entry += SYMBOL_SIZE) {
      if (readUnsigned64(view, entry + 16) !== STRING_HEADER) continue;
      const name = view.getUint32(entry, true);
      if (name + VARIABLE.length > names.size) continue;
      const bytes = names.read(name, VARIABLE.length);
      if (VARIABLE.every((byte, i) => bytes[i] === byte)) return readUnsigned64(view, entry + 8);
    }
  }
  return undefined;
}
