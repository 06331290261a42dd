/** Where a thread-local variable lies in a process, by the words that its loader has filled in. */
import { noTls, type TlsPlace } from './carrier-layout.ts';
import type { TlsFile, TlsName, TlsSlot } from './tls-file.ts';

/** A file at its place in a process. */
export interface MappedTls {
  readonly file: TlsFile;
  /** Process address - file address. */
  readonly slide: number;
}

/** Bytes of process memory; fewer, or undefined, when they cannot be read. */
export type ReadMemory = (address: number, length: number) => Uint8Array | undefined;

/** Blocks of static TLS lie right below the thread pointer; glibc's own limit is far smaller. */
const MAX_DISTANCE = 2 ** 31;
const MAX_BLOCK = 2 ** 31;
const MAX_MODULE = 0xffff;
/** Bytes of an entry of the vector. */
export const GLIBC_STEP = 16;
export const MUSL_STEP = 8;

/**
 * Undefined while the loader has not filled in what would tell: asked again
 * later. `noTls` when no file has the variable, or none tells.
 */
export function tlsPlace(
  name: TlsName,
  files: readonly MappedTls[],
  dtvStep: number,
  read: ReadMemory,
): TlsPlace | undefined {
  const definers = files.filter(({ file }) => file.variables.has(name));
  if (definers.length === 0) return noTls;
  // The program's own one comes first in every search for the name.
  for (const { file } of definers) {
    if (!file.isProgram) continue;
    return placed('static', file.variables.get(name)! - file.blockToPointer);
  }
  const values = definers.map(({ file }) => file.variables.get(name)!);
  const places: TlsPlace[] = [];
  let isEarly = false;
  const take = (slot: TlsSlot, slide: number, known: readonly number[]): void => {
    const place = slotPlace(slot, slide, known, dtvStep, read);
    if (place === undefined) isEarly = true;
    else if (place.kind !== 'none') places.push(place);
  };
  for (const { file, slide } of files) {
    for (const slot of file.slots) if (slot.name === name) take(slot, slide, values);
  }
  if (places.length === 0) {
    for (const { file, slide } of definers) {
      for (const slot of file.slots) {
        if (slot.name === '') take(slot, slide, [file.variables.get(name)!]);
      }
    }
  }
  // Two libraries with a variable each: what was loaded first is what others found.
  places.sort((a, b) => a.module - b.module || b.offset - a.offset);
  return places[0] ?? (isEarly ? undefined : noTls);
}

/** @param values offsets in its block that the variable may have */
function slotPlace(
  slot: TlsSlot,
  slide: number,
  values: readonly number[],
  dtvStep: number,
  read: ReadMemory,
): TlsPlace | undefined {
  const words = readWords(read, slot.address + slide, slot.kind === 'offset' ? 1 : 2);
  if (words === undefined) return undefined;
  const [first, second] = words as [number, number];
  if (first === 0) return undefined;
  // Slots of the whole block say where it begins, those of a variable where that lies.
  const inBlock = slot.name === '' ? values[0]! : 0;
  switch (slot.kind) {
    case 'offset':
      return placed('static', first - slot.addend + inBlock);
    case 'module': {
      if (!isModule(first)) return undefined;
      const value = slot.name === '' ? inBlock : values.find((one) => one === second);
      return value === undefined ? undefined : dynamic(first, value, dtvStep);
    }
    case 'descriptor': {
      if (second < 0) return placed('static', second - slot.addend + inBlock);
      const index = readWords(read, second, 3) ?? readWords(read, second, 2);
      if (index === undefined) return undefined;
      const [module, offset, generation = 0] = index as [number, number, number?];
      const value = slot.name === '' ? inBlock : values.find((one) => one + slot.addend === offset);
      // Before it is bound the argument points to the relocation, which is no module's number.
      const isBound = isModule(module) && (slot.name !== '' || offset === slot.addend);
      if (!isBound || value === undefined) return undefined;
      // musl has a pointer there.
      return dynamic(module, value, dtvStep, dtvStep === GLIBC_STEP ? generation : 0);
    }
  }
}

const isModule = (number: number): boolean => number >= 1 && number <= MAX_MODULE;

function placed(kind: 'static', offset: number): TlsPlace {
  const isBelow = offset < 0 && offset > -MAX_DISTANCE;
  return isBelow ? { ...noTls, kind, offset } : noTls;
}

function dynamic(module: number, offset: number, dtvStep: number, counted = 0): TlsPlace {
  if (!(offset >= 0 && offset < MAX_BLOCK)) return noTls;
  const generation = counted >= 0 && counted <= 0xffff_ffff ? counted : 0;
  return { kind: 'dynamic', offset, module, generation, dtvStep };
}

/** Signed words; undefined when they cannot be read or are beyond exact numbers. */
function readWords(read: ReadMemory, address: number, count: number): number[] | undefined {
  if (!Number.isSafeInteger(address) || address <= 0) return undefined;
  const bytes = read(address, count * 8);
  if (bytes === undefined || bytes.length < count * 8) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, count * 8);
  const words: number[] = [];
  for (let at = 0; at < count * 8; at += 8) {
    const word = Number(view.getBigInt64(at, true));
    if (!Number.isSafeInteger(word)) return undefined;
    words.push(word);
  }
  return words;
}
