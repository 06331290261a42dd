/**
 * Rules for `_init` and `_fini`: assembly of the C library's crti and crtn,
 * put together by the linker from pieces, without call frame information. The
 * first page faults of a library fall into its `_init`.
 */
import { type TextOffset, textOffset } from '../units/units.ts';
import { encodeOffsetRule, RBP_SAME, Rule } from '../unwind/rule.ts';
import type { RowSink, RuleSource } from '../unwind/source.ts';
import type { ElfImage } from './image.ts';
import { ParseError } from './source.ts';

/** endbr64, when the library was built for it. */
const LANDING = [0xf3, 0x0f, 0x1e, 0xfa];
/** sub $8,%rsp */
const PROLOGUE = [0x48, 0x83, 0xec, 0x08];
/** add $8,%rsp; ret */
const EPILOGUE = [0x48, 0x83, 0xc4, 0x08, 0xc3];
/** With a call or two in between; more was not seen. */
const MAX_SIZE = 256;

interface Piece {
  readonly start: number;
  /** First offset at which the frame is larger by 8. */
  readonly inside: number;
  /** The final ret. */
  readonly last: number;
}

export class StartUpRules implements RuleSource {
  readonly problems: ReadonlyMap<string, number> = new Map();
  readonly #pieces: readonly Piece[];

  private constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  /** Undefined when the file has no such code, or code of another shape. */
  static of(image: ElfImage): StartUpRules | undefined {
    const pieces = ['.init', '.fini']
      .map((name) => pieceOf(image, name))
      .filter((piece) => piece !== undefined)
      .sort((a, b) => a.start - b.start);
    return pieces.length > 0 ? new StartUpRules(pieces) : undefined;
  }

  rows(from: TextOffset, to: TextOffset, sink: RowSink): void {
    const entered = encodeOffsetRule(Rule.Rsp, RBP_SAME, 8);
    const changes = this.#pieces.flatMap(({ start, inside, last }) => [
      { at: start, rule: entered },
      { at: inside, rule: encodeOffsetRule(Rule.Rsp, RBP_SAME, 16) },
      { at: last, rule: entered },
      { at: last + 1, rule: Rule.None },
    ]);
    sink(from, changes.findLast(({ at }) => at <= from)?.rule ?? Rule.None);
    for (const { at, rule } of changes) {
      if (at > from && at < to) sink(textOffset(at), rule);
    }
  }
}

function pieceOf(image: ElfImage, name: string): Piece | undefined {
  const section = image.section(name);
  if (!section || image.machine !== 'x86-64' || section.size > MAX_SIZE) return undefined;
  const start = section.address - image.textBase;
  if (start < 0 || start + section.size > image.textSize) return undefined;
  try {
    const code = image.view(section).read(0, section.size);
    const prologue = matches(code, 0, LANDING) ? LANDING.length : 0;
    const epilogue = code.length - EPILOGUE.length;
    if (!matches(code, prologue, PROLOGUE) || !matches(code, epilogue, EPILOGUE)) return undefined;
    return { start, inside: start + prologue + PROLOGUE.length, last: start + code.length - 1 };
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

const matches = (code: Uint8Array, at: number, pattern: readonly number[]): boolean =>
  at >= 0 && pattern.every((byte, i) => code[at + i] === byte);
