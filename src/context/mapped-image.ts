/** A look into a file that a process has mapped, which is closed again after it. */
import type { BlockCache } from '../elf/block-cache.ts';
import { isFileFailure } from '../elf/failure.ts';
import { FileSource } from '../elf/file-source.ts';
import { ElfImage } from '../elf/image.ts';
import { ParseError } from '../elf/source.ts';
import type { Executable } from '../process/executable.ts';
import type { ProcessHost } from '../process/host.ts';
import type { Mapped } from '../process/mapping-list.ts';
import type { MappedThing, Process } from '../process/process.ts';
import { keyOf, WorkNote } from '../process/work-note.ts';

/** Undefined for memory without a file, and for the kernel's own code. */
export function fileOf({ what, raw }: Mapped<MappedThing>): Executable | undefined {
  return what === 'anonymous' || raw.path.startsWith('[') ? undefined : what;
}

/**
 * What `read` makes of the image of a mapped file.
 * @returns undefined when it could not be opened or read: the process may be gone, and
 *   another one that maps the file may do
 * @throws ParseError when the file's tables are broken, or it is no ELF file
 */
export function lookInto<Found>(
  host: ProcessHost,
  cache: BlockCache,
  process: Process,
  mapped: Mapped<MappedThing>,
  read: (image: ElfImage) => Found,
): { readonly found: Found } | undefined {
  let source: FileSource | undefined;
  try {
    const opened = fileOf(mapped)?.opened;
    if (opened) return { found: opened.noted(() => read(opened.image)) };
    const fd = host.openMapped(process.identity.pid, mapped.raw);
    try {
      source = new FileSource(fd, cache, host.files);
    } catch (cause) {
      host.files.close(fd);
      throw cause;
    }
    const key = keyOf(source.state);
    const note = host.note ?? new WorkNote();
    if (note.isRefused(key)) return undefined;
    const file = source;
    return { found: note.during(key, () => read(ElfImage.parse(file))) };
  } catch (cause) {
    if (cause instanceof ParseError && !isFileFailure(cause)) throw cause;
    return undefined;
  } finally {
    source?.close();
  }
}
