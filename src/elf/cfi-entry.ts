/**
 * Common and frame description entries of `.eh_frame` (Linux Standard Base
 * Core, Exception Frames) and `.debug_frame` (DWARF 2 to 5, section 6.4.1).
 */
import { ByteWindow } from './byte-window.ts';
import { CfiProgram, type RowReceiver } from './cfi-program.ts';
import { Cursor } from './cursor.ts';
import { malformed } from './failure.ts';
import { readEncoded } from './pointer-encoding.ts';
import { RegisterRules } from './register-rules.ts';
import { type ByteSource, ParseError } from './source.ts';

export interface FrameSection {
  readonly bytes: ByteSource;
  /** Virtual address of the first byte, for pc-relative pointers. */
  readonly address: number;
  readonly format: 'eh_frame' | 'debug_frame';
}

export interface Cie {
  readonly codeAlign: number;
  readonly dataAlign: number;
  readonly returnRegister: number;
  /** DW_EH_PE_* of addresses in its FDEs. */
  readonly encoding: number;
  /** FDEs have an augmentation length. */
  readonly augmented: boolean;
  readonly isSignalFrame: boolean;
  /** What its instructions set up, the start of every FDE. */
  readonly initial: RegisterRules;
}

export interface Fde {
  /** Virtual address. */
  start: number;
  /** Virtual address after the last byte. */
  end: number;
  cie: Cie;
  /** Position of its instructions in the section. */
  instructions: number;
  instructionsSize: number;
}

const CHUNK = 4 * 1024;
/** Functions of megabytes of generated code have tens of KiB of instructions. */
const MAX_FDE_SIZE = 4 << 20;
/** CIEs take 20 to 50 bytes. */
const MAX_CIE_SIZE = 4096;
/** Linked files have up to a few dozen different ones. */
const MAX_CACHED_CIES = 256;
const EXTENDED_LENGTH = 0xffffffff;
const ABSOLUTE_8 = 0x04;

/** What stands before the contents of an entry. */
export interface EntryHeader {
  /** 'end' for a zero length, which terminates `.eh_frame` and pads elsewhere. */
  kind: 'cie' | 'fde' | 'end';
  /** Position of the first byte after the id. */
  body: number;
  /** Position of the next entry. */
  next: number;
  /** Position of the CIE of an FDE. */
  cie: number;
}

export class EntryReader {
  readonly section: FrameSection;
  /** Bytes of entries looked at, to bound the work that a file can cause. */
  work = 0;
  readonly #window: ByteWindow;
  readonly #cursor = new Cursor();
  readonly #program = new CfiProgram();
  readonly #cies = new Map<number, Cie | ParseError>();

  constructor(section: FrameSection) {
    this.section = section;
    this.#window = new ByteWindow(section.bytes, CHUNK, MAX_FDE_SIZE);
  }

  /** @throws ParseError `out_of_bounds` when the entry is not within the section. */
  header(position: number): EntryHeader {
    const size = this.section.bytes.size;
    const cursor = this.#at(position, Math.min(20, size - position));
    let length = cursor.u32();
    let idPosition = position + 4;
    const long = length === EXTENDED_LENGTH;
    if (long) {
      length = cursor.u64();
      idPosition = position + 12;
    }
    const next = idPosition + length;
    if (length === 0) return { kind: 'end', body: next, next, cie: 0 };
    if (!(next <= size)) {
      throw new ParseError('out_of_bounds', `an entry of ${length} bytes at ${position}`);
    }
    // In .eh_frame the id has four bytes whatever the length has.
    const isEh = this.section.format === 'eh_frame';
    const idSize = long && !isEh ? 8 : 4;
    if (length < idSize) throw new ParseError('truncated', 'an entry without an id');
    const id = idSize === 8 ? cursor.u64() : cursor.u32();
    const body = idPosition + idSize;
    if (isEh) {
      if (id === 0) return { kind: 'cie', body, next, cie: 0 };
      return { kind: 'fde', body, next, cie: idPosition - id };
    }
    const cieId = idSize === 8 ? 2 ** 64 : EXTENDED_LENGTH;
    return { kind: id === cieId ? 'cie' : 'fde', body, next, cie: id };
  }

  /** @throws ParseError of many reasons: the entry is malformed. */
  fde(position: number, into: Fde): void {
    const header = this.header(position);
    if (header.kind !== 'fde') throw new ParseError('not_an_fde', `no FDE at ${position}`);
    this.fdeBody(header, into);
  }

  /** @throws ParseError of many reasons: the entry is malformed. */
  fdeBody(header: EntryHeader, into: Fde): void {
    const cie = this.#cie(header.cie);
    const { body, next } = header;
    this.work += 16;
    // Two pointers and a LEB128 length; the rest is read when it is run.
    const cursor = this.#at(body, Math.min(next - body, 32));
    const origin = cursor.at;
    const { address } = this.section;
    const start = readEncoded(cursor, cie.encoding, address + body);
    // The length has the format of the address but is not relative to anything.
    const range = readEncoded(cursor, cie.encoding & 0x0f, 0);
    if (!(range >= 0 && Number.isSafeInteger(start + range) && start >= 0)) {
      throw new ParseError('address_range', `a function of ${range} bytes at ${start}`);
    }
    let consumed = 0;
    if (cie.augmented) consumed = cursor.uleb();
    const instructions = body + (cursor.at - origin) + consumed;
    if (!(instructions <= next)) throw new ParseError('truncated', 'augmentation beyond the entry');
    into.start = start;
    into.end = start + range;
    into.cie = cie;
    into.instructions = instructions;
    into.instructionsSize = next - instructions;
  }

  /**
   * Runs the instructions of an FDE; `receiver` must not use this reader.
   * @throws ParseError when they are malformed; rows may have been given before.
   */
  run(fde: Fde, receiver: RowReceiver): void {
    this.work += fde.instructionsSize;
    const cursor = this.#at(fde.instructions, fde.instructionsSize);
    const origin = this.section.address + fde.instructions - cursor.at;
    this.#program.run(cursor, origin, fde.cie, fde.start, fde.end, receiver);
  }

  #at(position: number, length: number): Cursor {
    const index = this.#window.load(position, length);
    return this.#cursor.reset(this.#window.bytes, index, index + length);
  }

  #cie(position: number): Cie {
    let cie = this.#cies.get(position);
    if (cie === undefined) {
      try {
        cie = this.#parseCie(position);
      } catch (error) {
        // Remembered, or thousands of FDEs would parse it in vain.
        cie = malformed(error);
      }
      if (this.#cies.size >= MAX_CACHED_CIES) this.#cies.clear();
      this.#cies.set(position, cie);
    }
    if (cie instanceof ParseError) throw cie;
    return cie;
  }

  #parseCie(position: number): Cie {
    const { kind, body, next } = this.header(position);
    if (kind !== 'cie') throw new ParseError('not_a_cie', `no CIE at ${position}`);
    if (next - body > MAX_CIE_SIZE) {
      throw new ParseError('entry_too_big', `a CIE of ${next - body} bytes`);
    }
    this.work += next - body;
    const cursor = this.#at(body, next - body);
    const version = cursor.u8();
    if (version !== 1 && version !== 3 && version !== 4) {
      throw new ParseError('cie_version', `CIE version ${version}`);
    }
    const augmentation = readText(cursor);
    if (augmentation.startsWith('eh')) cursor.skip(8);
    if (version === 4) {
      const addressSize = cursor.u8();
      const segmentSize = cursor.u8();
      if (addressSize !== 8 || segmentSize !== 0) {
        throw new ParseError('address_size', `addresses of ${addressSize}+${segmentSize} bytes`);
      }
    }
    const codeAlign = cursor.uleb();
    const dataAlign = cursor.sleb();
    const returnRegister = version === 1 ? cursor.u8() : cursor.uleb();
    const { encoding, isSignalFrame } = readAugmentation(cursor, augmentation);
    const initial = new RegisterRules();
    const cie = {
      codeAlign,
      dataAlign,
      returnRegister,
      encoding,
      augmented: augmentation.startsWith('z'),
      isSignalFrame,
      initial,
    };
    this.#program.runInitial(cursor, cie);
    return cie;
  }
}

function readText(cursor: Cursor): string {
  let text = '';
  for (let byte = cursor.u8(); byte !== 0; byte = cursor.u8()) text += String.fromCharCode(byte);
  return text;
}

/** Leaves the cursor at the initial instructions. */
function readAugmentation(
  cursor: Cursor,
  augmentation: string,
): { encoding: number; isSignalFrame: boolean } {
  let encoding = ABSOLUTE_8;
  let isSignalFrame = false;
  let end = cursor.at;
  const sized = augmentation.startsWith('z');
  if (sized) {
    const length = cursor.uleb();
    end = cursor.at + length;
    if (!(end <= cursor.end)) throw new ParseError('truncated', 'augmentation beyond the CIE');
  }
  const letters = augmentation === 'eh' ? '' : augmentation.slice(sized ? 1 : 0);
  for (const letter of letters) {
    if (letter === 'R') encoding = cursor.u8();
    else if (letter === 'S') isSignalFrame = true;
    else if (letter === 'L') cursor.u8();
    else if (letter === 'P') readEncoded(cursor, cursor.u8() & 0x0f, 0);
    else if (letter !== 'B' && letter !== 'G') {
      // 'B' and 'G' concern arm64 only. An unknown letter hides an encoding that may follow.
      throw new ParseError('cie_augmentation', `unknown augmentation ${augmentation}`);
    }
  }
  if (sized) cursor.at = end;
  return { encoding, isSignalFrame };
}
