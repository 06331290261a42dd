/** Interned tables of a profile that grows: equal things get equal indices. */
import { cleanName } from '../symbolize/clean-name.ts';
import { shortName } from '../symbolize/short-name.ts';
import type { SourceLine } from '../symbolize/source-line.ts';
import { tellsLayout } from './address-layout.ts';
import type { FrameType, FunctionName, Label, Line, Location, Mapping } from './model.ts';

/** What the resolver found out about one address. */
export interface ResolvedLocation {
  readonly mapping: Mapping | undefined;
  /** As `Location.address`. */
  readonly address: number;
  readonly type: FrameType;
  /** Innermost inlined call first; empty = no name found. */
  readonly lines: readonly SourceLine[];
}

/** Longest text that travels: Pyroscope refuses symbols of more than 65,535 bytes. */
const maxTextBytes = 49_152;

/** Printable text of bounded length, whatever a process or file called itself. */
export function cleanText(text: string): string {
  return cleanName(text, maxTextBytes);
}

/** A goroutine or a trace per request would otherwise make a profile of any size. */
export interface LabelLimits {
  /** Different sets of labels, the empty one among them. */
  readonly sets: number;
  /** Of their keys and values together, as UTF-8. */
  readonly bytes: number;
}

/** 16,384 sets take about 8 MiB as objects. */
export const USUAL_LABEL_LIMITS: LabelLimits = { sets: 16_384, bytes: 8 * 2 ** 20 };

export class ProfileTables {
  readonly mappings: Mapping[] = [
    { start: 0, end: 0, fileOffset: 0, file: '', buildId: '', goBuildId: '' },
  ];
  readonly functions: FunctionName[] = [];
  readonly locations: Location[] = [];
  readonly labelSets: (readonly Label[])[] = [[]];
  readonly threads: string[] = [''];
  readonly #mappings = new Map<string, number>();
  readonly #functions = new Map<string, number>();
  readonly #locations = new Map<string, number>();
  readonly #labelSets = new Map<string, number>([['[]', 0]]);
  readonly #threads = new Map<string, number>([['', 0]]);
  readonly #limits: LabelLimits;
  readonly #addresses: boolean;
  #labelBytes = 0;

  /** @param addresses whether locations keep addresses that tell where memory lies */
  constructor(limits: LabelLimits, addresses: boolean) {
    this.#limits = limits;
    this.#addresses = addresses;
  }

  location(resolved: ResolvedLocation): number {
    const mapping = resolved.mapping === undefined ? 0 : this.mapping(resolved.mapping);
    const isKept = this.#addresses || !tellsLayout(resolved.type, resolved.mapping);
    const address = isKept ? countOf(resolved.address) : 0;
    const lines = resolved.lines.map(
      (line): Line => ({
        function: this.#function(line, resolved.type),
        line: countOf(line.line),
        column: countOf(line.column),
      }),
    );
    let key = `${mapping} ${address} ${resolved.type}`;
    for (const line of lines) key += ` ${line.function}:${line.line}:${line.column}`;
    return intern(this.#locations, this.locations, key, () => ({
      mapping,
      address,
      type: resolved.type,
      lines,
    }));
  }

  /** Files are one mapping wherever processes place them, because their addresses are the file's. */
  mapping(mapping: Mapping): number {
    const file = cleanText(mapping.file);
    const place = file.startsWith('[') ? [mapping.start, mapping.end] : [];
    const htlHash = cleanText(mapping.htlHash ?? '');
    const key = JSON.stringify([file, mapping.buildId, mapping.goBuildId, htlHash, ...place]);
    return intern(this.#mappings, this.mappings, key, () => ({
      start: countOf(mapping.start),
      end: countOf(mapping.end),
      fileOffset: countOf(mapping.fileOffset),
      file,
      buildId: cleanText(mapping.buildId),
      goBuildId: cleanText(mapping.goBuildId),
      htlHash,
    }));
  }

  #function(line: SourceLine, type: FrameType): number {
    const name = cleanText(line.name);
    const systemName = line.systemName === '' ? name : cleanText(line.systemName);
    const file = cleanText(line.file);
    const startLine = countOf(line.startLine);
    const unnamed = line.unnamed === true;
    const key = JSON.stringify([name, systemName, file, startLine, unnamed]);
    return intern(this.#functions, this.functions, key, () => ({
      name,
      shortName: shortName(name, systemName, type),
      systemName,
      file,
      startLine,
      unnamed,
    }));
  }

  thread(name: string): number {
    const cleaned = cleanText(name);
    return intern(this.#threads, this.threads, cleaned, () => cleaned);
  }

  /** -1 when there are too many different ones; the empty one always fits. */
  labelSet(labels: readonly Label[]): number {
    const cleaned = labels
      .filter((label) => label.key !== '')
      .map(({ key, value }) => ({ key: cleanText(key), value: cleanText(value) }));
    const key = JSON.stringify(cleaned.map((label) => [label.key, label.value]));
    if (!this.#labelSets.has(key)) {
      const bytes = cleaned.reduce(
        (sum, { key: name, value }) => sum + Buffer.byteLength(name + value),
        0,
      );
      const isFull =
        this.labelSets.length >= this.#limits.sets || this.#labelBytes + bytes > this.#limits.bytes;
      if (isFull) return -1;
      this.#labelBytes += bytes;
    }
    return intern(this.#labelSets, this.labelSets, key, () => cleaned);
  }
}

function intern<T>(index: Map<string, number>, list: T[], key: string, create: () => T): number {
  let id = index.get(key);
  if (id === undefined) {
    id = list.length;
    list.push(create());
    index.set(key, id);
  }
  return id;
}

/** Numbers read from debug information can be anything; what is no count is not known. */
function countOf(value: number): number {
  return Number.isSafeInteger(value) && value >= 0 ? value : 0;
}
