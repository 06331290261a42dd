/** .debug_line: a unit's table of files, and where its line program is. */
import { ParseError } from '../source.ts';
import { formSize } from './abbreviations.ts';
import { Form } from './codes.ts';
import type { SectionReader } from './section-reader.ts';
import { rootOf, textOf, type Unit } from './unit.ts';

const SIZE_64 = 0xffffffff;
/** Units of huge projects include tens of thousands of headers. */
const MAX_FILES = 1 << 20;
const MAX_FORMATS = 32;
/** DW_LNCT_* */
const PATH = 1;
const DIRECTORY_INDEX = 2;

/** What the line program needs to know. */
export interface LineProgram {
  readonly version: number;
  readonly start: number;
  readonly end: number;
  readonly minimumLength: number;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  /** By opcode: number of operands. */
  readonly operands: Uint8Array;
  readonly addressSize: number;
}

interface Formats {
  readonly pairs: readonly (readonly [content: number, form: number])[];
}

export class LineTable {
  readonly program: LineProgram;
  readonly #unit: Unit;
  readonly #offsetSize: number;
  /** By index: directory (files only), form and value of the name. */
  readonly #directories: number[] = [];
  readonly #files: number[] = [];
  readonly #tables: number;
  #isRead = false;
  readonly #paths = new Map<number, string>();

  /**
   * The table of a unit that has one.
   * @throws ParseError `line_header`, `line_version`, `truncated`.
   */
  constructor(unit: Unit, at: number) {
    this.#unit = unit;
    const reader = unit.file.main.reader('.debug_line').seek(at);
    let length = reader.u32();
    let offsetSize = 4;
    if (length === SIZE_64) {
      length = reader.u64();
      offsetSize = 8;
    }
    this.#offsetSize = offsetSize;
    const end = reader.at + length;
    if (end > reader.size) throw broken(`${length} bytes at ${at}`);
    const version = reader.u16();
    if (version < 2 || version > 5) throw new ParseError('line_version', `version ${version}`);
    let addressSize = unit.addressSize;
    if (version >= 5) {
      addressSize = reader.u8();
      reader.u8();
    }
    if (addressSize !== 4 && addressSize !== 8) throw broken(`addresses of ${addressSize} bytes`);
    const headerLength = reader.word(offsetSize);
    const start = reader.at + headerLength;
    if (start > end) throw broken(`a header of ${headerLength} bytes`);
    const minimumLength = reader.u8();
    if (version >= 4) reader.u8();
    reader.u8();
    const lineBase = (reader.u8() << 24) >> 24;
    const lineRange = reader.u8();
    const opcodeBase = reader.u8();
    if (opcodeBase === 0) throw broken('no opcodes');
    const operands = new Uint8Array(256);
    for (let opcode = 1; opcode < opcodeBase; opcode++) operands[opcode] = reader.u8();
    this.#tables = reader.at;
    this.program = {
      version,
      start,
      end,
      minimumLength,
      lineBase,
      lineRange,
      opcodeBase,
      operands,
      addressSize,
    };
  }

  /** The file of that number as an absolute path where the compiler told enough; '' = not known. */
  path(file: number): string {
    let path = this.#paths.get(file);
    if (path === undefined) {
      path = this.#path(file);
      this.#paths.set(file, path);
    }
    return path;
  }

  #path(file: number): string {
    if (!this.#isRead) {
      this.#isRead = true;
      this.#read();
    }
    const isNew = this.program.version >= 5;
    const index = isNew ? file : file - 1;
    const directory = this.#files[index * 3];
    if (directory === undefined) return '';
    const name = this.#text(this.#files[index * 3 + 1]!, this.#files[index * 3 + 2]!);
    if (name.startsWith('/')) return name;
    // Directory 0 of the old versions is the compilation's own, which has no entry.
    const at = (isNew ? directory : directory - 1) * 2;
    const form = this.#directories[at];
    const include = form === undefined ? '' : this.#text(form, this.#directories[at + 1]!);
    if (include.startsWith('/')) return join(include, name);
    return join(join(rootOf(this.#unit).compilationDirectory, include), name);
  }

  #text(form: number, value: number): string {
    if (form === Form.string) return this.#reader().seek(value).text();
    return textOf(this.#unit, form, value);
  }

  #reader(): SectionReader {
    return this.#unit.file.main.reader('.debug_line');
  }

  #read(): void {
    const reader = this.#reader().seek(this.#tables);
    try {
      if (this.program.version >= 5) {
        this.#readEntries(reader, (_, form, value) => this.#directories.push(form, value));
        this.#readEntries(reader, (directory, form, value) => {
          this.#files.push(directory, form, value);
        });
      } else {
        this.#readOld(reader);
      }
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#unit.file.count('line_header');
    }
  }

  #readOld(reader: SectionReader): void {
    for (let count = 0; ; count++) {
      const at = reader.at;
      reader.skipText();
      if (reader.at === at + 1) break;
      if (count === MAX_FILES) throw broken('too many directories');
      this.#directories.push(Form.string, at);
    }
    for (let count = 0; ; count++) {
      const at = reader.at;
      reader.skipText();
      if (reader.at === at + 1) break;
      if (count === MAX_FILES) throw broken('too many files');
      this.#files.push(reader.uleb(), Form.string, at);
      // Time of modification and size.
      reader.uleb();
      reader.uleb();
    }
  }

  #readEntries(
    reader: SectionReader,
    add: (directory: number, form: number, value: number) => void,
  ): void {
    const { pairs } = readFormats(reader);
    const count = reader.uleb();
    if (count > MAX_FILES || (count > 0 && pairs.length === 0)) throw broken(`${count} entries`);
    for (let n = 0; n < count; n++) {
      let directory = 0;
      let pathForm = 0;
      let path = 0;
      for (const [content, form] of pairs) {
        const value = this.#readValue(reader, form);
        if (content === PATH) {
          pathForm = form;
          path = value;
        } else if (content === DIRECTORY_INDEX) {
          directory = value;
        }
      }
      add(directory, pathForm, path);
    }
  }

  #readValue(reader: SectionReader, form: number): number {
    switch (form) {
      case Form.string: {
        const at = reader.at;
        reader.skipText();
        return at;
      }
      case Form.udata:
      case Form.strx:
        return reader.uleb();
      case Form.block: {
        const length = reader.uleb();
        reader.skip(length);
        return 0;
      }
      default: {
        const size = formSize(form, {
          version: 5,
          addressSize: this.program.addressSize,
          offsetSize: this.#offsetSize,
        });
        if (size === 1) return reader.u8();
        if (size === 2) return reader.u16();
        if (size === 3) return reader.u24();
        if (size === 4) return reader.u32();
        if (size === 8) return reader.u64();
        if (size < 0) throw broken(`a value of form ${form}`);
        reader.skip(size);
        return 0;
      }
    }
  }
}

function readFormats(reader: SectionReader): Formats {
  const count = reader.u8();
  if (count > MAX_FORMATS) throw broken(`${count} formats`);
  const pairs: [number, number][] = [];
  for (let n = 0; n < count; n++) pairs.push([reader.uleb(), reader.uleb()]);
  return { pairs };
}

function join(directory: string, name: string): string {
  if (directory === '' || name === '') return directory + name;
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}

function broken(what: string): ParseError {
  return new ParseError('line_header', `.debug_line: ${what}`);
}
