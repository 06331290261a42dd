/** The tables of many profiles as one set: equal things are kept once. */
import { isGoroutineLabel } from '../profile/goroutine-labels.ts';
import type {
  FunctionName,
  Label,
  Line,
  Location,
  Mapping,
  Process,
  Profile,
} from '../profile/model.ts';
import { LabelTable } from './label-table.ts';

export type ProfileTables = Pick<
  Profile,
  'mappings' | 'functions' | 'locations' | 'stacks' | 'processes' | 'threads' | 'labelSets'
>;

/** Index in a profile's table → index in the shared table; adds what is new. */
export interface Translator {
  process(index: number): number;
  thread(index: number): number;
  stack(index: number): number;
  labels(index: number): number;
}

// Estimates of V8's objects with the key and the slot in the map that finds them.
const ENTRY_BYTES = 160;
const LINE_BYTES = 40;

/** Arguments in one call: tens of thousands would overflow the stack. */
const KEY_PIECE = 4_096;

class Table<Entry> {
  readonly entries: Entry[] = [];
  bytes = 0;
  readonly #ids = new Map<string, number>();

  id(key: string, make: () => Entry, bytes: number): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.entries.length;
    this.#ids.set(key, id);
    this.entries.push(make());
    // The key's characters, one or two bytes each.
    this.bytes += ENTRY_BYTES + bytes + key.length * 2;
    return id;
  }
}

const lineKey = (line: Line): string => `${line.function}:${line.line}:${line.column}`;

const NO_MAPPING: Mapping = {
  start: 0,
  end: 0,
  fileOffset: 0,
  file: '',
  buildId: '',
  goBuildId: '',
};

export class InternedTables {
  readonly #mappings = new Table<Mapping>();
  readonly #functions = new Table<FunctionName>();
  readonly #locations = new Table<Location>();
  readonly #stacks = new Table<Uint32Array>();
  readonly #processes = new Table<Process>();
  readonly #threads = new Table<string>();
  readonly #labelSets = new LabelTable();

  constructor() {
    // Index 0 means "none" in these tables.
    this.#thread('');
    this.#mapping(NO_MAPPING);
  }

  get bytes(): number {
    return [
      this.#mappings,
      this.#functions,
      this.#locations,
      this.#stacks,
      this.#processes,
      this.#threads,
      this.#labelSets,
    ].reduce((all, table) => all + table.bytes, 0);
  }

  get tables(): ProfileTables {
    const { length } = this.#labelSets;
    return {
      ...this.#codeTables,
      labelSets: Array.from({ length }, (_, set) => this.#labelSets.labels(set)),
    };
  }

  get #codeTables(): Omit<ProfileTables, 'labelSets'> {
    return {
      mappings: this.#mappings.entries,
      functions: this.#functions.entries,
      locations: this.#locations.entries,
      stacks: this.#stacks.entries,
      processes: this.#processes.entries,
      threads: this.#threads.entries,
    };
  }

  get processes(): readonly Process[] {
    return this.#processes.entries;
  }

  get labelSets(): Pick<LabelTable, 'length' | 'words' | 'labels'> {
    return this.#labelSets;
  }

  /** Each entry of the profile is looked up once, when first asked for. */
  translator(profile: ProfileTables): Translator {
    return this.#translator(profile, (set) => profile.labelSets[set]!);
  }

  /** Makes no objects of label sets that nobody asks for. */
  translatorOf(tables: InternedTables): Translator {
    return this.#translator(tables.#codeTables, (set) => tables.#labelSets.labels(set));
  }

  #translator(
    profile: Omit<ProfileTables, 'labelSets'>,
    labelsOf: (set: number) => readonly Label[],
  ): Translator {
    const remember = (translate: (index: number) => number) => {
      const known: number[] = [];
      return (index: number): number => {
        let id = known[index];
        if (id === undefined) {
          id = translate(index);
          known[index] = id;
        }
        return id;
      };
    };
    const mapping = remember((index) => this.#mapping(profile.mappings[index]!));
    const functionId = remember((index) => this.#function(profile.functions[index]!));
    const location = remember((index) => {
      const from = profile.locations[index]!;
      return this.#location({
        ...from,
        mapping: mapping(from.mapping),
        lines: from.lines.map((line) => ({ ...line, function: functionId(line.function) })),
      });
    });
    return {
      process: remember((index) => this.#process(profile.processes[index]!)),
      thread: remember((index) => this.#thread(profile.threads[index]!)),
      stack: remember((index) => this.#stack(profile.stacks[index]!.map(location))),
      labels: remember((set) => this.#labels(labelsOf(set))),
    };
  }

  #mapping(mapping: Mapping): number {
    const { start, end, fileOffset, file, buildId, goBuildId } = mapping;
    const key = JSON.stringify([start, end, fileOffset, file, buildId, goBuildId]);
    return this.#mappings.id(key, () => mapping, 0);
  }

  #function(named: FunctionName): number {
    const { name, shortName, systemName, file, startLine, unnamed } = named;
    const key = JSON.stringify([name, systemName, file, startLine, unnamed]);
    const characters = name.length + shortName.length + systemName.length;
    return this.#functions.id(key, () => named, 2 * characters);
  }

  #location(location: Location): number {
    const { mapping, address, type, lines } = location;
    // join(), because a text put together with + keeps its parts: see #stack.
    const key = [mapping, address, type, ...lines.map(lineKey)].join('/');
    return this.#locations.id(key, () => location, lines.length * LINE_BYTES);
  }

  #stack(stack: Uint32Array): number {
    // Two characters per frame, where decimal digits would double the keys; in few calls,
    // because V8 keeps a text put together with + as a tree of its parts, also as the key
    // of a map: 70 bytes per frame instead of 4.
    const halves = new Uint16Array(stack.buffer, stack.byteOffset, stack.length * 2);
    const pieces: string[] = [];
    for (let at = 0; at < halves.length; at += KEY_PIECE) {
      pieces.push(String.fromCharCode(...halves.subarray(at, at + KEY_PIECE)));
    }
    const key = pieces.join('');
    return this.#stacks.id(key, () => stack, stack.byteLength);
  }

  #process(process: Process): number {
    const { pid, name, executable, startNs, execId, resource } = process;
    // A process may state what it is long after its first sample.
    const key = JSON.stringify([pid, String(startNs), execId, name, executable, resource]);
    return this.#processes.id(key, () => process, 0);
  }

  #thread(name: string): number {
    return this.#threads.id(name, () => name, 0);
  }

  /** Without goroutines: what is kept would grow with their number, and the page does not tell them apart. */
  #labels(all: readonly Label[]): number {
    return this.#labelSets.id(all.filter(({ key }) => !isGoroutineLabel(key)));
  }
}
