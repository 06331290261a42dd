/**
 * What V8 says of itself in a Node.js binary: the layout of its objects, and where a
 * thread has its isolate and that the data which it keeps for continuations.
 */
import { bytesAt, type DynamicSymbol, DynamicSymbolType, GnuSymbols } from '../elf/gnu-symbols.ts';
import { instructionLength } from '../elf/go-instructions.ts';
import { viewOf } from '../elf/headers.ts';
import { type ElfImage, SegmentType } from '../elf/image.ts';

export interface NodeRuntime {
  /** Instance type of a JavaScript `Map`. */
  readonly mapType: number;
  /** The isolate's address, from the thread pointer; 0 = not understood. */
  readonly isolate: number;
  /** ContinuationPreservedEmbedderData in an isolate; 0 = not understood. */
  readonly continuation: number;
}

/** V8 states no layout, or one that the kernel side does not read, as with compressed pointers. */
export type NoNodeRuntime = 'v8_layout_unknown' | 'v8_layout_foreign';

const MAP_TYPE = 'v8dbg_type_JSMap__JS_MAP_TYPE';

/**
 * What bpf/node_context.h takes for granted. It has been so in Node 22 to 26, and in
 * all builds of V8 without compressed pointers since 2018.
 */
const EXPECTED: readonly (readonly [name: string, value: number])[] = [
  ['v8dbg_HeapObjectTag', 1],
  ['v8dbg_HeapObjectTagMask', 3],
  ['v8dbg_SmiTag', 0],
  ['v8dbg_SmiTagMask', 1],
  ['v8dbg_SmiShiftSize', 31],
  ['v8dbg_class_HeapObject__map__Map', 0],
  ['v8dbg_class_Map__inobject_properties_start_or_constructor_function_index__char', 9],
  ['v8dbg_class_Map__instance_type__uint16_t', 12],
  ['v8dbg_class_FixedArrayBase__length__SMI', 8],
  ['v8dbg_class_FixedArray__data__uintptr_t', 16],
  ['v8dbg_class_JSObject__elements__Object', 16],
  ['v8dbg_APIObjectType', 0x422],
];

const MAX_INSTANCE_TYPE = 0xffff;
const CURRENT_ISOLATE = '_ZN2v88internal18g_current_isolate_E';
const GET_CURRENT = '_ZN2v87Isolate10GetCurrentEv';
const GET_CONTINUATION = '_ZN2v87Isolate36GetContinuationPreservedEmbedderDataEv';
/** More than either function has. */
const MAX_CODE = 128;
const MAX_DISTANCE = 2 ** 31;
const MAX_ISOLATE = 0xffff;

/**
 * Undefined when V8 is not in this file.
 * @throws ParseError when the file's tables are broken.
 */
export function nodeRuntime(image: ElfImage): NodeRuntime | NoNodeRuntime | undefined {
  if (image.machine !== 'x86-64') return undefined;
  const symbols = GnuSymbols.of(image);
  const mapType = symbols && constant(image, symbols.find(MAP_TYPE));
  if (symbols === undefined || mapType === undefined) return undefined;
  for (const [name, expected] of EXPECTED) {
    const value = constant(image, symbols.find(name));
    if (value === undefined) return 'v8_layout_unknown';
    if (value !== expected) return 'v8_layout_foreign';
  }
  if (!(mapType > 0 && mapType <= MAX_INSTANCE_TYPE)) return 'v8_layout_foreign';
  return {
    mapType,
    isolate: isolateOffset(image, symbols),
    continuation: continuationOffset(code(image, symbols.find(GET_CONTINUATION))),
  };
}

/** Value of an `int`; those that are zero may have no bytes in the file. */
function constant(image: ElfImage, symbol: DynamicSymbol | undefined): number | undefined {
  if (symbol?.type !== DynamicSymbolType.Object || symbol.size !== 4) return undefined;
  const bytes = bytesAt(image, symbol.value, 4);
  if (bytes !== undefined) return viewOf(bytes).getInt32(0, true);
  const isZero = image.segments.some(({ type, address, fileSize, memorySize }) => {
    const distance = symbol.value - address;
    return type === SegmentType.Load && distance >= fileSize && distance + 4 <= memorySize;
  });
  return isZero ? 0 : undefined;
}

/** Node 22 exports the variable, later ones only the function that reads it. */
function isolateOffset(image: ElfImage, symbols: GnuSymbols): number {
  // In a library the loader decides.
  if (image.type !== 'executable' && image.interpreter === '') return 0;
  const variable = symbols.find(CURRENT_ISOLATE);
  const block = image.segments.find(({ type }) => type === SegmentType.Tls);
  let offset = 0;
  if (variable?.type === DynamicSymbolType.Tls && block !== undefined) {
    // The program's block ends at the thread pointer.
    const align = Math.max(block.align, 1);
    const end = (block.address + block.memorySize) % align;
    offset = variable.value - block.memorySize - (end === 0 ? 0 : align - end);
  } else {
    offset = threadLoad(code(image, symbols.find(GET_CURRENT)));
  }
  return offset < 0 && offset > -MAX_DISTANCE && offset % 8 === 0 ? offset : 0;
}

/** Offset of the first `mov register, fs:[offset]`. */
function threadLoad(bytes: Uint8Array): number {
  for (const at of instructions(bytes)) {
    // fs, REX.W, mov, no register but a displacement
    const isLoad =
      bytes[at] === 0x64 &&
      (bytes[at + 1]! & 0xf8) === 0x48 &&
      bytes[at + 2] === 0x8b &&
      (bytes[at + 3]! & 0xc7) === 4 &&
      bytes[at + 4] === 0x25;
    if (isLoad && at + 9 <= bytes.length) return viewOf(bytes).getInt32(at + 5, true);
  }
  return 0;
}

/**
 * The function makes a handle of the data: it loads the data, and the next free
 * handle, which it compares with the limit in the word behind that.
 */
function continuationOffset(bytes: Uint8Array): number {
  const loaded = new Set<number>();
  const compared = new Set<number>();
  for (const at of instructions(bytes)) {
    // REX.W without a higher base register; [rdi + 32 bits], rdi being the isolate
    const isOfIsolate =
      (bytes[at]! & 0xfb) === 0x48 && (bytes[at + 2]! & 0xc7) === 0x87 && at + 7 <= bytes.length;
    if (!isOfIsolate) continue;
    const offset = viewOf(bytes).getInt32(at + 3, true);
    if (bytes[at + 1] === 0x8b) loaded.add(offset);
    if (bytes[at + 1] === 0x3b) compared.add(offset);
  }
  const rest = [...loaded].filter((one) => !compared.has(one) && !compared.has(one + 8));
  const [offset = 0] = rest;
  const isField = offset > 0 && offset <= MAX_ISOLATE && offset % 8 === 0;
  return rest.length === 1 && compared.size === 1 && isField ? offset : 0;
}

function code(image: ElfImage, symbol: DynamicSymbol | undefined): Uint8Array {
  if (symbol?.type !== DynamicSymbolType.Function) return new Uint8Array();
  const bytes = bytesAt(image, symbol.value, Math.min(symbol.size, MAX_CODE));
  return bytes?.slice() ?? new Uint8Array();
}

function* instructions(bytes: Uint8Array): Generator<number> {
  for (let at = 0; at < bytes.length; ) {
    const length = instructionLength(bytes, at);
    if (length <= 0 || at + length > bytes.length) return;
    yield at;
    at += length;
  }
}
