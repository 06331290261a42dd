/** What the resolver's thread and the debug-info thread say to each other. */
import type { SymbolSources } from '../cli/profiler-seam.ts';
import type { SourceKind, SourceLine } from '../symbolize/source-line.ts';

/** What the debug-info thread is started with. */
export interface DebugInfoSetup {
  /** Undefined: as the environment says. */
  readonly symbols: SymbolSources | undefined;
}

export interface Lookup {
  readonly type: 'lookup';
  readonly id: number;
  /** Unique in this run of the agent. */
  readonly file: number;
  /** Open until the answer is sent; the thread opens the file anew through /proc/self/fd. */
  readonly fd: number;
  /** Path as its processes see it. */
  readonly path: string;
  /** Descriptors of the roots where it may be, beside ours; open as long as `fd`. */
  readonly roots: readonly number[];
  /** Of the file, ascending; return addresses are one less already. */
  readonly addresses: Float64Array<ArrayBuffer>;
  /** Sources of the file that are not to be used: see SearchWatch. */
  readonly skipped: readonly string[];
}

export type ToDebugInfo =
  | Lookup
  /** Nothing is asked for a while: files are closed, downloads go on. */
  | { readonly type: 'free' };

/**
 * `ready`: all that can be had was asked. `pending`: a download is under way,
 * the names may become better. `none`: there is no debug information at all.
 */
export type DebugInfoState = 'ready' | 'pending' | 'none';

export interface DebugInfoAnswer {
  readonly type: 'answer';
  readonly id: number;
  readonly state: DebugInfoState;
  /** Parallel to the addresses: index into `kinds`. */
  readonly kind: Uint8Array<ArrayBuffer>;
  readonly kinds: readonly SourceKind[];
  /** Parallel to the addresses. */
  readonly lines: PackedLines;
  /** What was refused since the last answer for this file, by reason. */
  readonly problems: readonly (readonly [reason: string, count: number])[];
}

export type FromDebugInfo =
  | DebugInfoAnswer
  /** The work on a source of the file begins; if the thread is lost, it is this one's fault. */
  | { readonly type: 'begins'; readonly id: number; readonly source: string }
  /** A download has ended: the file is to be asked again. */
  | { readonly type: 'changed'; readonly file: number }
  /** Sent with every change; the thread is not ended while there are any. */
  | { readonly type: 'downloads'; readonly running: number };

type FunctionTexts = Omit<SourceLine, 'line' | 'column'>;

/** Chains of lines as columns: the texts of a function travel once, however often it occurs. */
export interface PackedLines {
  readonly functions: readonly FunctionTexts[];
  /** Chain i has the lines from start[i] to start[i + 1]. */
  readonly start: Uint32Array<ArrayBuffer>;
  /** Function index, line, column of each line. */
  readonly lines: Uint32Array<ArrayBuffer>;
}

const LINE_WORDS = 3;
const MAX_SAME_NAME = 64;

export function packLines(chains: readonly (readonly SourceLine[] | undefined)[]): PackedLines {
  const functions: FunctionTexts[] = [];
  /** By name: names of templates are long, and joined keys would have to be hashed each time. */
  const indices = new Map<string, number[]>();
  /** Chains share the lines of their callers. */
  const seen = new Map<SourceLine, number>();
  const indexOf = ({ line: _line, column: _column, ...texts }: SourceLine): number => {
    const sameName = indices.get(texts.name) ?? [];
    const known = sameName.find((index) => {
      const other = functions[index]!;
      return (
        other.file === texts.file &&
        other.startLine === texts.startLine &&
        other.systemName === texts.systemName &&
        other.unnamed === texts.unnamed
      );
    });
    if (known !== undefined) return known;
    const index = functions.push(texts) - 1;
    // Repeating a function costs little, looking through thousands of one name much.
    if (sameName.length === MAX_SAME_NAME) sameName.length = 0;
    sameName.push(index);
    indices.set(texts.name, sameName);
    return index;
  };
  const start = new Uint32Array(chains.length + 1);
  let total = 0;
  chains.forEach((chain, i) => {
    total += chain?.length ?? 0;
    start[i + 1] = total;
  });
  const lines = new Uint32Array(total * LINE_WORDS);
  let at = 0;
  for (const chain of chains) {
    for (const each of chain ?? []) {
      let index = seen.get(each);
      if (index === undefined) {
        index = indexOf(each);
        seen.set(each, index);
      }
      lines[at] = index;
      lines[at + 1] = each.line;
      lines[at + 2] = each.column;
      at += LINE_WORDS;
    }
  }
  return { functions, start, lines };
}

/** The lines of one chain; empty when it has none. Texts are shared with `packed`. */
export function unpackLines({ functions, start, lines }: PackedLines, chain: number): SourceLine[] {
  const unpacked: SourceLine[] = [];
  for (let i = start[chain]!; i < start[chain + 1]!; i++) {
    const at = i * LINE_WORDS;
    const texts = functions[lines[at]!]!;
    unpacked.push({ ...texts, line: lines[at + 1]!, column: lines[at + 2]! });
  }
  return unpacked;
}

export function transferables(answer: DebugInfoAnswer): ArrayBuffer[] {
  return [answer.kind.buffer, answer.lines.start.buffer, answer.lines.lines.buffer];
}
