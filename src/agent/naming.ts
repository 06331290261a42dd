/** Answers "what is at this address" for a flush: mapping, file address, names. */

import { attributeKeyMap } from '../context/process-context.ts';
import { Executable } from '../process/executable.ts';
import { findMapping, type Mapped } from '../process/mapping-list.ts';
import type { Identity, MappedThing, Process } from '../process/process.ts';
import type { AddressQueries } from '../profile/address-collection.ts';
import { KERNEL_INSTANCE } from '../profile/address-collection.ts';
import type { Instance } from '../profile/aggregator.ts';
import type { ProcessInformation } from '../profile/builder.ts';
import type { Mapping } from '../profile/model.ts';
import type { ResolvedLocation } from '../profile/profile-tables.ts';
import type { KernelName, KernelNames } from '../symbolize/kernel-names.ts';
import type { SourceLine } from '../symbolize/source-line.ts';
import {
  hostPid,
  kernelAddress,
  processAddress,
  type VirtualAddress,
  virtualAddress,
} from '../units/units.ts';
import type { Binary } from './binary.ts';
import type { DebugInfoFile } from './debug-info-file.ts';
import type { JitMaps } from './jit-maps.ts';
import { LocationNumbers } from './location-numbers.ts';
import { NameRoom } from './name-room.ts';
import { isGeneratedCode } from './process-publisher.ts';
import type { Resolver } from './resolver.ts';

/** Locations remembered on both threads; beyond it both begin anew. */
const MAX_LOCATIONS = 1 << 18;
const EXACT_BIT = 0x8000_0000;

interface FileAddress {
  readonly binary: Binary;
  readonly address: VirtualAddress;
}

interface Place {
  readonly process: Process;
  readonly mapped: Mapped<MappedThing>;
  /** Undefined when the file cannot be read. */
  readonly inFile: FileAddress | undefined;
}

/** Addresses that are about to be named. */
interface Located {
  readonly queries: AddressQueries;
  readonly identities: readonly Identity[];
  /** Parallel to the queries; undefined in the kernel and outside of all mappings. */
  readonly places: readonly (Place | undefined)[];
  /** Files that may have debug information for some of them. */
  readonly files: ReadonlySet<DebugInfoFile>;
  /** Of all samples that the addresses are from, kernel and all. */
  readonly frames: number;
}

export interface Named {
  readonly locations: Uint32Array<ArrayBuffer>;
  readonly firstNew: number;
  readonly fresh: readonly ResolvedLocation[];
  /** Numbers of earlier answers, or of this one, that are not given again. */
  readonly forgotten: Uint32Array<ArrayBuffer>;
  readonly processes: readonly (ProcessInformation | undefined)[];
}

export class Naming {
  readonly #resolver: Resolver;
  readonly #kernelNames: KernelNames;
  readonly #jit: JitMaps;
  readonly #forgotten: number[] = [];
  /** By address. */
  readonly #kernelNumbers = new LocationNumbers<number>(this.#forgotten);
  /** By a binary's id and by address. */
  readonly #fileNumbers = new Map<number, LocationNumbers<number>>();
  /** All others, by what they stand for. */
  readonly #numbers = new LocationNumbers<string>(this.#forgotten);
  readonly #mappings = new Map<string, Mapping>();
  readonly #room = new NameRoom();
  readonly #cpuTime: () => number;
  /** Names that were not looked up, because those of the process have cost too much. */
  #refused = 0;
  #next = 1;

  /** @param cpuTime of this thread, nanoseconds */
  constructor(
    resolver: Resolver,
    kernelNames: KernelNames,
    jit: JitMaps,
    cpuTime: () => number = () => 0,
  ) {
    this.#cpuTime = cpuTime;
    this.#resolver = resolver;
    this.#kernelNames = kernelNames;
    this.#jit = jit;
  }

  /** What could not be named as it is, by reason. */
  get problems(): ReadonlyMap<string, number> {
    const refused: [string, number][] = this.#refused > 0 ? [['name_refused', this.#refused]] : [];
    return new Map([...this.#room.problems, ...refused]);
  }

  /** Finds the file of each address, and notes with the files which addresses are wanted. */
  locate(queries: AddressQueries, instances: readonly Instance[]): Located {
    if (this.#next > MAX_LOCATIONS) this.#restart();
    const identities = instances.map(
      ({ pid, execId, startNs }): Identity => ({ pid: hostPid(pid), execId, startNs }),
    );
    const files = new Set<DebugInfoFile>();
    const places = Array.from({ length: queries.length }, (_, i) => {
      const instance = queries.instance[i]!;
      if (instance === KERNEL_INSTANCE) return undefined;
      const address = userAddress(queries.high[i]!, queries.low[i]!);
      const place = this.#place(identities[instance]!, queries.layout[i]!, address);
      const file = place?.inFile && this.#want(place.inFile, queries.samples[i]!);
      if (file) files.add(file);
      return place;
    });
    const frames = queries.samples.reduce((sum, samples) => sum + samples, 0);
    return { queries, identities, places, files, frames };
  }

  /** Numbers are given in one go: what is outstanding elsewhere cannot mix with them. */
  name({ queries, identities, places }: Located): Named {
    const firstNew = this.#next;
    const fresh: ResolvedLocation[] = [];
    const locations = new Uint32Array(queries.length);
    this.#jit.refresh();
    for (const [i, place] of places.entries()) {
      if (!place || !isAnonymous(place)) continue;
      const address = userAddress(queries.high[i]!, queries.low[i]!);
      this.#jit.want(place.process, processAddress(address));
    }
    this.#resolver.contexts.beginFlush();
    let payer: Process | undefined;
    let begun = this.#cpuTime();
    for (let i = 0; i < queries.length; i++) {
      const instance = queries.instance[i]!;
      const process = places[i]?.process;
      // Addresses of one process follow one another.
      if (process !== payer) {
        const now = this.#cpuTime();
        if (payer) this.#resolver.costs.owe(payer, (now - begun) / 1e6);
        payer = process;
        begun = now;
      }
      const low = queries.low[i]!;
      const high = queries.high[i]!;
      locations[i] =
        instance === KERNEL_INSTANCE
          ? this.#kernel(high, low, fresh)
          : this.#user(places[i], userAddress(high, low), fresh);
    }
    if (payer) this.#resolver.costs.owe(payer, (this.#cpuTime() - begun) / 1e6);
    return {
      locations,
      firstNew,
      fresh,
      forgotten: Uint32Array.from(this.#forgotten.splice(0)),
      processes: identities.map((identity) => this.#process(identity)),
    };
  }

  /** The file to be asked for an address; undefined where nothing better can be known. */
  #want({ binary, address }: FileAddress, samples: number): DebugInfoFile | undefined {
    const { debugInfo } = binary;
    if (!debugInfo?.mayAnswer) return undefined;
    const isNamed = this.#numbersOf(binary.opened.id).has(address);
    const isBest = (!isNamed || debugInfo.isLate) && binary.isKnownBest(address);
    if (!isBest) debugInfo.occurred(address, isNamed, samples);
    return debugInfo;
  }

  #restart(): void {
    this.#kernelNumbers.clear();
    this.#fileNumbers.clear();
    this.#numbers.clear();
    this.#mappings.clear();
    this.#room.clear();
    this.#forgotten.length = 0;
    this.#next = 1;
  }

  #kernel(high: number, low: number, fresh: ResolvedLocation[]): number {
    // The upper 12 bits are ones. A return address names the call before it.
    const address = (high & 0xf_ffff) * 2 ** 32 + low;
    const known = this.#kernelNumbers.get(address);
    if (known !== undefined) return known;
    const symbol = this.#kernelNames.lookup(kernelAddress(address));
    const module = symbol?.module ?? '[kernel]';
    const make = (): ResolvedLocation => ({
      mapping: this.#mapping(module, () => special(module)),
      address,
      type: 'kernel',
      lines: symbol ? [kernelLine(symbol)] : [],
    });
    if (symbol && !symbol.unnamed && module !== '[bpf]') {
      return this.#number(this.#kernelNumbers, address, fresh, make);
    }
    // BPF programs come and go, and names may be shown later: the name belongs to the key.
    return this.#number(this.#numbers, `kernel:${address}:${symbol?.name}`, fresh, make);
  }

  #place(identity: Identity, layout: number, address: number): Place | undefined {
    const found = this.#resolver.layout(layout, identity);
    const mapped = found && findMapping(found.mappings, processAddress(address));
    if (!found || !mapped) return undefined;
    const { process } = found;
    const binary = this.#resolver.binary(process, mapped);
    const bias = binary?.bias(mapped.start, mapped.raw.offset);
    if (!binary || bias === undefined) return { process, mapped, inFile: undefined };
    const inFile = virtualAddress(address - bias + binary.opened.image.textBase);
    return { process, mapped, inFile: { binary, address: inFile } };
  }

  #user(place: Place | undefined, address: number, fresh: ResolvedLocation[]): number {
    if (!place) {
      return this.#number(this.#numbers, `?:${address}`, fresh, () => nameless(undefined, address));
    }
    const { process, mapped, inFile } = place;
    if (isAnonymous(place)) return this.#anonymous(process, address, fresh);
    if (inFile) return this.#file(process, inFile, fresh);
    const offset = address - mapped.start + mapped.raw.offset;
    const { path } = mapped.raw;
    return this.#number(this.#numbers, `${path}:${offset}`, fresh, () =>
      nameless(
        this.#mapping(path, () => ({ ...special(path), fileOffset: mapped.raw.offset })),
        offset,
      ),
    );
  }

  #file(process: Process, { binary, address }: FileAddress, fresh: ResolvedLocation[]): number {
    const { id } = binary.opened;
    const numbers = this.#numbersOf(id);
    // What was found out since it was last named: a better name has a number of its own.
    if (binary.debugInfo?.hasNews(address)) numbers.delete(address);
    if (!numbers.has(address) && !this.#resolver.costs.mayName(process)) {
      this.#refused++;
      const mapping = this.#mapping(`#${id}`, () => binary.mapping());
      // Numbered anew at each flush: it is named later.
      this.#forgotten.push(this.#next);
      fresh.push(nameless(mapping, address));
      return this.#next++;
    }
    return this.#number(numbers, address, fresh, () => {
      const { type, lines } = binary.symbol(address);
      const mapping = this.#mapping(`#${id}`, () => binary.mapping());
      return { mapping, address, type, lines: this.#room.fit(id, lines) };
    });
  }

  #anonymous(process: Process, address: number, fresh: ResolvedLocation[]): number {
    const symbol = this.#jit.lookup(process, processAddress(address));
    const { pid, startNs } = process.identity;
    const mapping = this.#mapping('[anon]', () => special('[anon]'));
    if (!symbol) {
      // Numbered anew at each flush: its name may arrive later.
      this.#forgotten.push(this.#next);
      fresh.push({ mapping, address, type: 'jit', lines: [] });
      return this.#next++;
    }
    // Code is moved and collected: the name belongs to the key.
    const { type, line } = symbol;
    return this.#number(this.#numbers, `${pid}:${startNs}:${address}:${line.name}`, fresh, () => ({
      mapping,
      address,
      type,
      lines: this.#room.fit(`${pid}:${startNs}`, [line]),
    }));
  }

  #number<Key>(
    numbers: LocationNumbers<Key>,
    key: Key,
    fresh: ResolvedLocation[],
    make: () => ResolvedLocation,
  ): number {
    const known = numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#next++;
    numbers.set(key, number);
    fresh.push(make());
    return number;
  }

  #numbersOf(binary: number): LocationNumbers<number> {
    let numbers = this.#fileNumbers.get(binary);
    if (!numbers) {
      numbers = new LocationNumbers(this.#forgotten);
      this.#fileNumbers.set(binary, numbers);
    }
    return numbers;
  }

  #mapping(key: string, make: () => Mapping): Mapping {
    let mapping = this.#mappings.get(key);
    if (!mapping) {
      mapping = make();
      this.#mappings.set(key, mapping);
    }
    return mapping;
  }

  #process(identity: Identity): ProcessInformation | undefined {
    const process = this.#resolver.tracker.find(identity);
    if (!process) return undefined;
    const first = process.mappings.find(({ what }) => what instanceof Executable)?.what;
    const executable = first instanceof Executable ? first.path : '';
    const { contexts } = this.#resolver;
    const resource = contexts.resource(process);
    const context = contexts.of(process);
    const attributeKeys = context && attributeKeyMap(context);
    return { name: '', executable, resource, ...(attributeKeys && { attributeKeys }) };
  }
}

const isAnonymous = ({ mapped, inFile }: Place): boolean =>
  mapped.what === 'anonymous' || (!inFile && isGeneratedCode(mapped));

/** A return address may be the first byte of the next function. */
function userAddress(high: number, low: number): number {
  const pc = (high & ~EXACT_BIT) * 2 ** 32 + low;
  return (high & EXACT_BIT) !== 0 ? pc : pc - 1;
}

function kernelLine({ name, systemName, unnamed }: KernelName): SourceLine {
  const line = { name, systemName, file: '', line: 0, column: 0, startLine: 0 };
  return unnamed ? { ...line, unnamed } : line;
}

function special(name: string): Mapping {
  return { start: 0, end: 0, fileOffset: 0, file: name, buildId: '', goBuildId: '' };
}

function nameless(mapping: Mapping | undefined, address: number): ResolvedLocation {
  return { mapping, address, type: 'native', lines: [] };
}
