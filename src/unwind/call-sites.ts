/**
 * The call-site table: of all rows only those that can hold a return address.
 * A return address follows a call instruction, so a scan of the text for
 * whatever may be the end of one gives a superset without a disassembler.
 */
import type { TextOffset } from '../units/units.ts';
import { Rule, ruleKind } from './rule.ts';

/**
 * Bytes before a region that must be scanned too: a call of 7 bytes (FF /2 with
 * SIB and 32-bit displacement) may end with the region's first byte.
 */
export const CALL_LOOKBACK = 6;

/** Above this a hole without rules stays in the call-site table even if nothing calls there. */
const LARGE_GAP = 4096;

const CALL_NEAR = 0xe8;
const GROUP_5 = 0xff;
const CALL_NEAR_SIZE = 5;

/**
 * Text offsets of the last byte of each possible call within `text`, ascending:
 * of E8 with a target inside the text, and of FF /2 in all its forms. Prefixes
 * need no attention, they come before. `text` begins at `textStart`; a call
 * that begins before it is not seen (see CALL_LOOKBACK).
 */
export function callSites(
  text: Uint8Array,
  textStart: TextOffset,
  textSize: number,
): Uint32Array<ArrayBuffer> {
  const length = text.length;
  const sites = new SiteList(length);
  const scan = (from: number, to: number): void => {
    for (let at = from; at < to; at++) {
      const byte = text[at]!;
      if (byte === CALL_NEAR) {
        if (at + CALL_NEAR_SIZE > length) continue;
        const displacement =
          text[at + 1]! | (text[at + 2]! << 8) | (text[at + 3]! << 16) | (text[at + 4]! << 24);
        const target = textStart + at + CALL_NEAR_SIZE + displacement;
        if (target >= 0 && target < textSize) sites.add(textStart + at + CALL_NEAR_SIZE - 1);
      } else if (byte === GROUP_5 && at + 1 < length) {
        const modrm = text[at + 1]!;
        if ((modrm & 0x38) !== 0x10) continue;
        const end = at + indirectCallSize(modrm, text[at + 2] ?? 0);
        if (end <= length) sites.add(textStart + end - 1);
      }
    }
  };
  // Three of four words of real code have neither byte: looked at four bytes at
  // a time the scan takes half as long.
  const lead = Math.min((4 - (text.byteOffset & 3)) & 3, length);
  const words = new Uint32Array(text.buffer, text.byteOffset + lead, (length - lead) >>> 2);
  scan(0, lead);
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    // (v - 0x01...) & ~v & 0x80...: whether v has a zero byte, here E8 or FF turned to zero.
    const e8 = word ^ 0xe8e8e8e8;
    const ff = ~word;
    const hits = ((e8 - 0x01010101) & ~e8) | ((ff - 0x01010101) & word);
    if ((hits & 0x80808080) !== 0) scan(lead + index * 4, lead + index * 4 + 4);
  }
  scan(lead + words.length * 4, length);
  return sites.take();
}

/** Bytes from FF to the end of the instruction. */
function indirectCallSize(modrm: number, sib: number): number {
  const mod = modrm >> 6;
  const rm = modrm & 7;
  if (mod === 3) return 2;
  const base = rm === 4 ? 3 : 2;
  if (mod === 1) return base + 1;
  if (mod === 2) return base + 4;
  // mod 0: rip-relative, or a SIB byte without a base register.
  const hasDisplacement = rm === 5 || (rm === 4 && (sib & 7) === 5);
  return hasDisplacement ? base + 4 : base;
}

/** Ascending without duplicates; a call found later may end up to 6 bytes earlier. */
class SiteList {
  #sites: Uint32Array<ArrayBuffer>;
  #count = 0;

  constructor(textLength: number) {
    // Compiled code has a call every 20 to 60 bytes.
    this.#sites = new Uint32Array(16 + (textLength >>> 5));
  }

  add(site: number): void {
    if (this.#count === this.#sites.length) {
      const larger = new Uint32Array(this.#sites.length * 2);
      larger.set(this.#sites);
      this.#sites = larger;
    }
    const sites = this.#sites;
    let at = this.#count;
    while (at > 0 && sites[at - 1]! > site) at--;
    if (at > 0 && sites[at - 1] === site) return;
    if (at < this.#count) sites.copyWithin(at + 1, at, this.#count);
    sites[at] = site;
    this.#count++;
  }

  take(): Uint32Array<ArrayBuffer> {
    return this.#sites.slice(0, this.#count);
  }
}

/** Rows as two columns: from offsets[i] on, rules[i] holds. */
export interface Rows {
  readonly offsets: Uint32Array<ArrayBuffer>;
  readonly rules: Uint32Array<ArrayBuffer>;
}

/**
 * The rows that matter to return addresses: a lookup of any of `sites` gives
 * the same rule as in the full rows. Rows of signal trampolines stay, as their
 * "return address" follows no call, and so do holes above 4 KiB: code without
 * rules, which a caller made by other means must not be unwound by a
 * neighbour's rule. The first row is kept to begin where the full rows begin.
 */
export function callSiteRows(offsets: Uint32Array, rules: Uint32Array, sites: Uint32Array): Rows {
  const keptOffsets = new Uint32Array(offsets.length);
  const keptRules = new Uint32Array(offsets.length);
  let kept = 0;
  let site = 0;
  for (let row = 0; row < offsets.length; row++) {
    const start = offsets[row]!;
    const end = row + 1 < offsets.length ? offsets[row + 1]! : Number.POSITIVE_INFINITY;
    while (site < sites.length && sites[site]! < start) site++;
    const isHit = site < sites.length && sites[site]! < end;
    const rule = rules[row]!;
    if (!isHit && !isKeptAnyway(rule, end - start)) continue;
    if (kept > 0 && keptRules[kept - 1] === rule) continue;
    keptOffsets[kept] = kept === 0 ? offsets[0]! : start;
    keptRules[kept] = rule;
    kept++;
  }
  if (kept === 0 && offsets.length > 0) {
    keptOffsets[0] = offsets[0]!;
    keptRules[0] = rules[0]!;
    kept = 1;
  }
  return { offsets: keptOffsets.slice(0, kept), rules: keptRules.slice(0, kept) };
}

function isKeptAnyway(rule: number, size: number): boolean {
  const kind = ruleKind(rule);
  return kind === Rule.Signal || (kind === Rule.None && size > LARGE_GAP);
}
