/**
 * How to get from a thread to its goroutine: where the thread keeps `g`, and
 * the offsets in the runtime's structures.
 */
import { goDebugLayout, type NoGoDebugLayout } from './go-debug-layout.ts';
import type { GoFunctions } from './go-functions.ts';
import { instructionLength } from './go-instructions.ts';
import type { GoMemory } from './go-memory.ts';
import { goVersion } from './go-version.ts';
import type { ElfImage } from './image.ts';
import { SegmentType } from './image.ts';

export interface GoThreadLayout {
  /** Of the g pointer, from the thread pointer (fs base); negative. 0 = the loader decides. */
  readonly gOffset: number;
  /** In libraries: file address of the word where the loader puts that offset; else 0. */
  readonly gSlot: number;
  /** offsetof(g, m). */
  readonly m: number;
  /** offsetof(m, curg): the goroutine, also while the thread runs on g0. */
  readonly curg: number;
  /** offsetof(m, g0). */
  readonly g0: number;
  /** offsetof(g, sched.sp), (g, sched.pc) and (g, sched.bp). */
  readonly schedSp: number;
  readonly schedPc: number;
  readonly schedBp: number;
  /** offsetof(g, goid); g.atomicstatus lies 8 before it. */
  readonly goid: number;
  /** offsetof(g, gopc); g.startpc lies 16 behind it. */
  readonly gopc: number;
  /** offsetof(m, gsignal). */
  readonly gsignal: number;
  /** offsetof(m, isExtraInC): a thread of C that is not in Go; 0 = before Go 1.21. */
  readonly inC: number;
  readonly labels: GoLabels;
}

/**
 * Where a goroutine has its pprof labels, or why that is not known: the program has
 * no code that sets any (`go_labels_unused`), or the debug information of a release
 * that is not known does not say (`go_labels_unknown`).
 */
export type GoLabels = GoLabelsPlace | 'go_labels_unused' | 'go_labels_unknown';

export interface GoLabelsPlace {
  /** offsetof(g, labels): of a pointer, nil = none. */
  readonly offset: number;
  /** It points at a pointer to a map's header, up to Go 1.23; or at a slice of pairs of strings. */
  readonly form: 'map' | 'slice';
}

/** The part that the runtime's sources decide. */
export type RuntimeLayout = Omit<GoThreadLayout, 'gOffset' | 'gSlot'>;

/**
 * Why there is none: `go_version_unknown` (no build information, a development
 * version, or older or newer than 1.16 to 1.27, and no debug information either),
 * `go_tls_unknown` (the code that loads g was not understood), or what the debug
 * information of an unknown version lacks.
 */
export type NoGoThreadLayout = 'go_version_unknown' | 'go_tls_unknown' | NoGoDebugLayout;

type PlaceOfG = Pick<GoThreadLayout, 'gOffset' | 'gSlot'>;

/** Starts with loading g, in every release; assembly, so its name is in the table. */
const LOADS_G = 'runtime.morestack';
const CODE_SIZE = 64;

/** @throws ParseError when the build information or the tables are broken. */
export function goThreadLayout(
  image: ElfImage,
  functions: GoFunctions,
): GoThreadLayout | NoGoThreadLayout {
  const version = goVersion(image, functions.module.memory);
  // For known releases the table says what their debug information says, without
  // decompressing it, and of stripped binaries too.
  const known = version === undefined ? undefined : runtimeLayout(version);
  const layout = known ?? goDebugLayout(image) ?? 'go_version_unknown';
  if (typeof layout === 'string') return layout;
  const { memory } = functions.module;
  const range = functions.findByName(LOADS_G);
  const size = range === undefined ? 0 : Math.min(CODE_SIZE, range.end - range.start);
  const code = range === undefined ? undefined : memory.bytes(range.start, size)?.slice();
  if (range === undefined || code === undefined) return 'go_tls_unknown';
  const g = decodeG(memory, code, range.start);
  return typeof g === 'string' ? g : { ...g, ...layout };
}

/**
 * Offsets of a release, `go1.N` or `go1.N.M`: they have not changed within one.
 * Development versions may have any.
 */
export function runtimeLayout(version: string): RuntimeLayout | undefined {
  const minor = Number(/^go1\.(\d{1,3})(?:\.\d+|rc\d+|beta\d+)?(?![\w.])/.exec(version)?.[1]);
  if (version.includes('devel') || !(minor >= 16 && minor <= 27)) return undefined;
  // 1.25 removed gobuf.ret, one word before bp, and what follows g0 in m moved up.
  const shrunk = minor >= 25 ? 8 : 0;
  return {
    m: 48,
    curg: 192 - shrunk,
    g0: 0,
    schedSp: 56,
    schedPc: 64,
    schedBp: 104 - shrunk,
    // 1.23 added g.syscallbp.
    goid: (minor >= 23 ? 160 : 152) - shrunk,
    gopc: GOPC[minor - 16]!,
    gsignal: 80 - shrunk,
    inC: minor < 21 ? 0 : minor === 25 ? 274 : 282,
    labels: { offset: LABELS[minor - 16]!, form: minor < 24 ? 'map' : 'slice' },
  };
}

/** offsetof(g, gopc) from Go 1.16 on. */
const GOPC = [280, 296, 296, 296, 296, 280, 280, 288, 288, 280, 288, 288];
/** offsetof(g, labels) from Go 1.16 on. */
const LABELS = [344, 360, 360, 360, 360, 344, 344, 352, 352, 344, 352, 352];

/**
 * The forms that compiler and linkers make of "load g": `mov r, fs:[offset]`;
 * `mov r, offset` or `mov r, [rip+slot]`, then `mov r, fs:[r]`.
 */
function decodeG(memory: GoMemory, code: Uint8Array, start: number): PlaceOfG | NoGoThreadLayout {
  const known = new Map<number, PlaceOfG | NoGoThreadLayout>();
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
  let at = 0;
  while (at < code.length) {
    const length = instructionLength(code, at);
    if (length <= 0 || at + length > code.length) break;
    let from = at;
    const onThread = code[from] === 0x64;
    if (onThread) from++;
    const rex = (code[from]! & 0xf8) === 0x48 ? code[from++]! : 0;
    const opcode = code[from];
    const modrm = code[from + 1] ?? 0;
    const last = at + length - 4;
    if (rex !== 0 && opcode === 0x8b && onThread) {
      if ((modrm & 0xc7) === 4 && code[from + 2] === 0x25)
        return plausible(view.getInt32(last, true));
      if (modrm < 0x40) return known.get((modrm & 7) | ((rex & 1) << 3)) ?? 'go_tls_unknown';
      return 'go_tls_unknown';
    }
    if (rex !== 0 && opcode === 0xc7 && (modrm & 0xf8) === 0xc0) {
      known.set((modrm & 7) | ((rex & 1) << 3), plausible(view.getInt32(last, true)));
    }
    if (rex !== 0 && opcode === 0x8b && (modrm & 0xc7) === 5) {
      const slot = start + at + length + view.getInt32(last, true);
      known.set(((modrm >> 3) & 7) | ((rex & 4) << 1), fromSlot(memory, slot));
    }
    at += length;
  }
  return 'go_tls_unknown';
}

/** The thread-pointer offset that the loader or the linker puts into a GOT slot. */
function fromSlot(memory: GoMemory, slot: number): PlaceOfG | NoGoThreadLayout {
  const { image } = memory;
  if (image.type === 'shared' && image.interpreter === '') return { gOffset: 0, gSlot: slot };
  const relocation = memory.threadRelocation(slot);
  if (relocation === undefined) {
    const bytes = memory.bytes(slot, 8);
    if (bytes === undefined) return 'go_tls_unknown';
    const low = new DataView(bytes.buffer, bytes.byteOffset, 8).getInt32(0, true);
    return plausible(low);
  }
  const tls = image.segments.find((segment) => segment.type === SegmentType.Tls);
  if (relocation.symbol !== 0 || tls === undefined) return 'go_tls_unknown';
  // The executable's own block ends at the thread pointer.
  const align = Math.max(tls.align, 1);
  return plausible(relocation.addend - Math.ceil(tls.memorySize / align) * align);
}

function plausible(offset: number): PlaceOfG | NoGoThreadLayout {
  return isPlausibleOffset(offset) ? { gOffset: offset, gSlot: 0 } : 'go_tls_unknown';
}

/** Whether g can lie at this offset from the thread pointer. */
export const isPlausibleOffset = (offset: number): boolean =>
  offset < 0 && offset > -65536 && offset % 8 === 0;
