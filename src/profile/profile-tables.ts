/** Interned tables of a profile that grows: equal things get equal indices. */
import type { SourceLine } from '../symbolize/source-line.ts';
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

/** Longest text that travels, in UTF-16 units: Pyroscope refuses symbols of more than 65,535 bytes, and a unit takes at most 3. */
const maxTextLength = 16_384;

/** Valid Unicode of bounded length, whatever a process or file called itself. */
export function cleanText(text: string): string {
  const cut = text.length > maxTextLength ? `${text.slice(0, maxTextLength - 1)}…` : text;
  return cut.toWellFormed();
}

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

  location(resolved: ResolvedLocation): number {
    const mapping = resolved.mapping === undefined ? 0 : this.mapping(resolved.mapping);
    const address = countOf(resolved.address);
    const lines = resolved.lines.map(
      (line): Line => ({
        function: this.function(line),
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
    const key = JSON.stringify([file, mapping.buildId, mapping.goBuildId, ...place]);
    return intern(this.#mappings, this.mappings, key, () => ({
      start: countOf(mapping.start),
      end: countOf(mapping.end),
      fileOffset: countOf(mapping.fileOffset),
      file,
      buildId: cleanText(mapping.buildId),
      goBuildId: cleanText(mapping.goBuildId),
    }));
  }

  function(line: SourceLine): number {
    const name = cleanText(line.name);
    const called: FunctionName = {
      name,
      systemName: line.systemName === '' ? name : cleanText(line.systemName),
      file: cleanText(line.file),
      startLine: countOf(line.startLine),
    };
    const key = JSON.stringify([called.name, called.systemName, called.file, called.startLine]);
    return intern(this.#functions, this.functions, key, () => called);
  }

  thread(name: string): number {
    const cleaned = cleanText(name);
    return intern(this.#threads, this.threads, cleaned, () => cleaned);
  }

  labelSet(labels: readonly Label[]): number {
    const cleaned = labels
      .filter((label) => label.key !== '')
      .map(({ key, value }) => ({ key: cleanText(key), value: cleanText(value) }));
    const key = JSON.stringify(cleaned.map((label) => [label.key, label.value]));
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
