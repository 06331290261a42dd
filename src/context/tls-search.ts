/**
 * Finds the thread-local carriers of processes: each file is looked at once, each
 * process when its files change, in steps that the caller has time for.
 */
import { BlockCache } from '../elf/block-cache.ts';
import type { ElfImage } from '../elf/image.ts';
import { ParseError } from '../elf/source.ts';
import type { Executable } from '../process/executable.ts';
import type { ProcessHost } from '../process/host.ts';
import type { Mapped } from '../process/mapping-list.ts';
import { parseMaps } from '../process/maps.ts';
import type { MappedThing, MappingList, Process } from '../process/process.ts';
import type { TlsPlace } from './carrier-layout.ts';
import { fileOf, lookInto } from './mapped-image.ts';
import { TLS_NAMES, type TlsFile, type TlsName, tlsFile } from './tls-file.ts';
import { GLIBC_STEP, type MappedTls, MUSL_STEP, tlsPlace } from './tls-place.ts';

/** Where the variables of a process lie; those that it does not have are left out. */
export type TlsPlaces = ReadonlyMap<TlsName, TlsPlace>;

export const noPlaces: TlsPlaces = new Map();

/** What is kept of a file that was looked at. */
interface Looked {
  /** Undefined when it has to do with none of the variables. */
  readonly tls: { readonly file: TlsFile; readonly image: ElfImage } | undefined;
  readonly isMusl: boolean;
}

interface State {
  mappings: MappingList;
  places: TlsPlaces;
  /** How often it was too early, or a file could not be opened. */
  tries: number;
  /** Files that could not be opened this time. */
  readonly failed: Set<Executable>;
  /** Files that have the variables, as of the last look. */
  definers: ReadonlySet<Executable>;
  /**
   * One of them is gone. glibc gives its module's number to another library, and
   * threads that have not called the loader since still have the old one's block there.
   */
  hasUnloaded: boolean;
}

/** A file at its place, and which. */
interface FoundTls extends MappedTls {
  readonly executable: Executable;
}

/**
 * Milliseconds until the next try: the loader fills in its words after the last
 * file is mapped, in a busy program many milliseconds later.
 */
const DELAYS = [10, 40, 160, 640, 2500, 10_000, 60_000];
/** Processes that wait for a look. */
const MAX_WAITING = 16_384;
const CACHED_BLOCKS = 16;
/** Version of the layout behind `custom_labels_current_set`. */
const LABELS_VERSION = 1;

export class TlsSearch {
  readonly #host: ProcessHost;
  readonly #clock: () => number;
  readonly #cache = new BlockCache(CACHED_BLOCKS);
  readonly #looked = new WeakMap<Executable, Looked>();
  readonly #states = new WeakMap<Process, State>();
  /** Forked processes begin with the same list, and the same memory. */
  readonly #shared = new WeakMap<MappingList, TlsPlaces>();
  /** When to look at whom, in milliseconds of the clock. */
  readonly #waiting = new Map<Process, number>();
  readonly #problems = new Map<string, number>();

  /** @param clock milliseconds that never go back */
  constructor(host: ProcessHost, clock: () => number = () => performance.now()) {
    this.#host = host;
    this.#clock = clock;
  }

  /** Why variables that there are cannot be read, and files not looked at, counted. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  /** What is known so far. */
  of(process: Process): TlsPlaces {
    return this.#states.get(process)?.places ?? this.#shared.get(process.mappings) ?? noPlaces;
  }

  /**
   * Looks at a process when it, or what it has mapped, is new; what takes longer than
   * `milliseconds` is left to step(). Cheap when nothing is new.
   */
  look(process: Process, milliseconds: number): void {
    const known = this.#states.get(process);
    if (known?.mappings === process.mappings) return;
    if (known === undefined && this.#shared.has(process.mappings)) return;
    const state = known ?? this.#state(process);
    state.tries = 0;
    if (this.#openAll(process, state, this.#clock() + milliseconds)) this.#find(process, state);
    else this.#later(process, 0);
  }

  /** Milliseconds until step() has something to do; undefined when there is nothing. */
  get due(): number | undefined {
    if (this.#waiting.size === 0) return undefined;
    let first = Number.POSITIVE_INFINITY;
    for (const due of this.#waiting.values()) first = Math.min(first, due);
    return Math.max(0, first - this.#clock());
  }

  /**
   * Looks at those that wait until `milliseconds` have passed.
   * @returns processes of which other things are known now
   */
  step(milliseconds: number): Process[] {
    if (this.#waiting.size === 0) return [];
    const begun = this.#clock();
    const end = begun + milliseconds;
    const changed: Process[] = [];
    for (const [process, due] of this.#waiting) {
      if (due > begun) continue;
      this.#waiting.delete(process);
      if (process.ended !== undefined) continue;
      const state = this.#state(process);
      if (!this.#openAll(process, state, end)) {
        this.#later(process, 0);
        break;
      }
      if (this.#find(process, state)) changed.push(process);
      if (this.#clock() >= end) break;
    }
    return changed;
  }

  /** False when time ran out before all files were looked at. */
  #openAll(process: Process, state: State, end: number): boolean {
    for (const mapped of process.mappings) {
      const executable = fileOf(mapped);
      if (executable === undefined || this.#looked.has(executable)) continue;
      if (state.failed.has(executable)) continue;
      if (!this.#open(process, executable, mapped)) state.failed.add(executable);
      if (this.#clock() >= end) return false;
    }
    return true;
  }

  /** False when the file could not be opened. */
  #open(process: Process, executable: Executable, mapped: Mapped<MappedThing>): boolean {
    try {
      const looked = lookInto(this.#host, this.#cache, process, mapped, lookedAt);
      if (looked) this.#looked.set(executable, looked.found);
      return looked !== undefined;
    } catch (cause) {
      if (!(cause instanceof ParseError)) throw cause;
      this.#looked.set(executable, nothing);
      if (cause.reason !== 'not_elf') this.#count(cause.reason);
      return true;
    }
  }

  #state(process: Process): State {
    let state = this.#states.get(process);
    if (state === undefined) {
      const { mappings } = process;
      state = {
        mappings,
        places: this.of(process),
        tries: 0,
        failed: new Set(),
        definers: new Set(),
        hasUnloaded: false,
      };
      this.#states.set(process, state);
    }
    return state;
  }

  /** Whether something else is known than before. */
  #find(process: Process, state: State): boolean {
    const { mappings } = process;
    const before = state.places;
    state.mappings = mappings;
    const { files, isMusl } = this.#files(mappings, this.#gone(process, state));
    const definers = files.filter(({ file }) => file.variables.size > 0);
    const now = new Set(definers.map(({ executable }) => executable));
    state.hasUnloaded ||= [...state.definers].some((executable) => !now.has(executable));
    state.definers = now;
    const places = new Map<TlsName, TlsPlace>();
    let isEarly = state.failed.size > 0;
    const step = isMusl ? MUSL_STEP : GLIBC_STEP;
    const read = (address: number, length: number): Uint8Array | undefined => {
      try {
        return this.#host.readMemory(process.identity.pid, address, length);
      } catch {
        return undefined;
      }
    };
    for (const name of TLS_NAMES) {
      const place = tlsPlace(name, files, step, read);
      if (place === undefined) isEarly = true;
      else if (state.hasUnloaded && isAnybodys(place)) this.#count('tls_module_reused');
      else if (place.kind !== 'none') places.set(name, place);
      else if (files.some(({ file }) => file.variables.has(name))) this.#count('tls_no_relocation');
    }
    if (places.has('custom_labels_current_set') && !hasLabelsVersion(files)) {
      this.#count('custom_labels_version');
      places.delete('custom_labels_current_set');
    }
    state.places = places;
    if (isEarly) this.#again(process, state);
    else this.#shared.set(mappings, places);
    state.failed.clear();
    return !samePlaces(before, places);
  }

  #again(process: Process, state: State): void {
    const delay = DELAYS[state.tries++];
    if (delay === undefined)
      this.#count(state.failed.size > 0 ? 'open_failed' : 'tls_not_relocated');
    else this.#later(process, delay);
  }

  #later(process: Process, delay: number): void {
    if (this.#waiting.size < MAX_WAITING) this.#waiting.set(process, this.#clock() + delay);
  }

  /** Files with variables that are not mapped any more: of that no news comes. */
  #gone(process: Process, state: State): ReadonlySet<Executable> {
    const gone = new Set<Executable>();
    if (![...state.places.values()].some(isAnybodys)) return gone;
    let maps: string;
    try {
      maps = this.#host.readMaps(process.identity.pid);
    } catch {
      return gone;
    }
    const there = new Set(parseMaps(maps).mappings.map(({ start, inode }) => `${start} ${inode}`));
    for (const mapped of process.mappings) {
      const executable = fileOf(mapped);
      if (executable === undefined || !state.definers.has(executable)) continue;
      if (!there.has(`${mapped.start} ${mapped.raw.inode}`)) gone.add(executable);
    }
    return gone;
  }

  #files(
    mappings: MappingList,
    gone: ReadonlySet<Executable>,
  ): { files: FoundTls[]; isMusl: boolean } {
    const files: FoundTls[] = [];
    const seen = new Set<Executable>();
    let isMusl = false;
    for (const mapped of mappings) {
      const executable = fileOf(mapped);
      if (executable === undefined || seen.has(executable) || gone.has(executable)) continue;
      const looked = this.#looked.get(executable);
      if (looked === undefined) continue;
      isMusl ||= looked.isMusl;
      const address = looked.tls?.image.offsetToAddress(mapped.raw.offset);
      if (looked.tls === undefined || address === undefined) continue;
      seen.add(executable);
      files.push({ executable, file: looked.tls.file, slide: mapped.start - address });
    }
    return { files, isMusl };
  }

  #count(reason: string): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + 1);
  }
}

const nothing: Looked = { tls: undefined, isMusl: false };

/** @throws ParseError when the file's tables are broken. */
function lookedAt(image: ElfImage): Looked {
  const isMusl = image.interpreter.includes('/ld-musl-');
  const file = tlsFile(image);
  return { tls: file && { file, image }, isMusl };
}

/** Whose block a thread has there is not said: the loader tells no generation. */
const isAnybodys = ({ kind, generation }: TlsPlace): boolean =>
  kind === 'dynamic' && generation === 0;

const hasLabelsVersion = (files: readonly MappedTls[]): boolean =>
  files.some(
    ({ file }) =>
      file.variables.has('custom_labels_current_set') && file.labelsVersion === LABELS_VERSION,
  );

function samePlaces(a: TlsPlaces, b: TlsPlaces): boolean {
  if (a.size !== b.size) return false;
  for (const [name, place] of a) {
    const other = b.get(name);
    if (
      other?.kind !== place.kind ||
      other.offset !== place.offset ||
      other.module !== place.module ||
      other.generation !== place.generation
    ) {
      return false;
    }
  }
  return true;
}
