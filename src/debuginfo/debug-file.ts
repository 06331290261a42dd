/** One opened ELF file with debug information, its sections and what it refers to. */
import { directAccess, type FileAccess } from '../elf/file-access.ts';
import { FileSource } from '../elf/file-source.ts';
import { ElfImage, SectionType } from '../elf/image.ts';
import { type SectionContext, SectionFile } from './section-file.ts';

export class DebugFile {
  readonly image: ElfImage;
  readonly sections: SectionFile;
  /** As the process, or the host, sees it; '' when it has none. */
  readonly path: string;

  private constructor(image: ElfImage, sections: SectionFile, path: string) {
    this.image = image;
    this.sections = sections;
    this.path = path;
  }

  /**
   * Takes over `fd`, and closes it on an error.
   * @param files by which it was opened
   * @throws ParseError
   */
  static open(
    fd: number,
    path: string,
    context: SectionContext,
    files: FileAccess = directAccess,
  ): DebugFile {
    let source: FileSource | undefined;
    try {
      source = new FileSource(fd, context.cache, files);
      const image = ElfImage.parse(source);
      return new DebugFile(image, new SectionFile(image, source, context), path);
    } catch (cause) {
      if (source) source.close();
      else files.close(fd);
      throw cause;
    }
  }

  /** Whether it has DWARF; `.debug_line` alone has no functions. */
  get hasDwarf(): boolean {
    return hasContents(this.image, '.debug_info');
  }

  close(): void {
    this.sections.close();
  }
}

/** Debug files keep the headers of the sections that stayed in the program. */
export function hasContents(image: ElfImage, name: string): boolean {
  const section = image.section(name);
  return section !== undefined && section.type !== SectionType.Nobits && section.size > 0;
}
