/** Answers "what is at this address" for a flush: mapping, file address, names. */

import { Executable } from '../process/executable.ts';
import { findMapping, type Mapped } from '../process/mapping-list.ts';
import type { Identity, MappedThing, Process } from '../process/process.ts';
import type { AddressQueries } from '../profile/address-collection.ts';
import { KERNEL_INSTANCE } from '../profile/address-collection.ts';
import type { Instance } from '../profile/aggregator.ts';
import type { ProcessInformation } from '../profile/builder.ts';
import type { Mapping } from '../profile/model.ts';
import type { ResolvedLocation } from '../profile/profile-tables.ts';
import type { KernelSymbol } from '../symbolize/kernel-symbols.ts';
import {
  hostPid,
  type KernelAddress,
  kernelAddress,
  processAddress,
  virtualAddress,
} from '../units/units.ts';
import type { JitMaps } from './jit-maps.ts';
import type { Resolver } from './resolver.ts';

/** Locations remembered on both threads; beyond it both begin anew. */
const MAX_LOCATIONS = 1 << 18;
const EXACT_BIT = 0x8000_0000;

export interface Named {
  readonly locations: Uint32Array<ArrayBuffer>;
  readonly firstNew: number;
  readonly fresh: readonly ResolvedLocation[];
  readonly processes: readonly (ProcessInformation | undefined)[];
}

export class Naming {
  readonly #resolver: Resolver;
  readonly #kernelSymbols: (address: KernelAddress) => KernelSymbol | undefined;
  readonly #jit: JitMaps;
  /** Numbers of kernel locations, by address. */
  readonly #kernelNumbers = new Map<number, number>();
  /** Numbers of locations in a binary, by its id and by address. */
  readonly #fileNumbers = new Map<number, Map<number, number>>();
  /** All others, by what they stand for. */
  readonly #numbers = new Map<string, number>();
  readonly #mappings = new Map<string, Mapping>();
  #next = 1;

  constructor(
    resolver: Resolver,
    kernelSymbols: (address: KernelAddress) => KernelSymbol | undefined,
    jit: JitMaps,
  ) {
    this.#resolver = resolver;
    this.#kernelSymbols = kernelSymbols;
    this.#jit = jit;
  }

  name(queries: AddressQueries, instances: readonly Instance[]): Named {
    if (this.#next > MAX_LOCATIONS) this.#restart();
    const identities = instances.map(
      ({ pid, execId, startNs }): Identity => ({ pid: hostPid(pid), execId, startNs }),
    );
    const firstNew = this.#next;
    const fresh: ResolvedLocation[] = [];
    const locations = new Uint32Array(queries.length);
    this.#jit.refresh();
    for (let i = 0; i < queries.length; i++) {
      const instance = queries.instance[i]!;
      const low = queries.low[i]!;
      const high = queries.high[i]!;
      locations[i] =
        instance === KERNEL_INSTANCE
          ? this.#kernel(high, low, fresh)
          : this.#user(identities[instance]!, queries.layout[i]!, high, low, fresh);
    }
    return {
      locations,
      firstNew,
      fresh,
      processes: identities.map((identity) => this.#process(identity)),
    };
  }

  #restart(): void {
    this.#kernelNumbers.clear();
    this.#fileNumbers.clear();
    this.#numbers.clear();
    this.#mappings.clear();
    this.#next = 1;
  }

  #kernel(high: number, low: number, fresh: ResolvedLocation[]): number {
    // The upper 12 bits are ones. A return address names the call before it.
    const address = (high & 0xf_ffff) * 2 ** 32 + low;
    return this.#number(this.#kernelNumbers, address, fresh, () => {
      const symbol = this.#kernelSymbols(kernelAddress(address));
      const module = symbol?.module ?? '[kernel]';
      return {
        mapping: this.#mapping(module, () => special(module)),
        address,
        type: 'kernel',
        lines: symbol
          ? [
              {
                name: symbol.name,
                systemName: symbol.systemName,
                file: '',
                line: 0,
                column: 0,
                startLine: 0,
              },
            ]
          : [],
      };
    });
  }

  #user(
    identity: Identity,
    layout: number,
    high: number,
    low: number,
    fresh: ResolvedLocation[],
  ): number {
    const isExact = (high & EXACT_BIT) !== 0;
    const pc = (high & ~EXACT_BIT) * 2 ** 32 + low;
    // A return address may be the first byte of the next function.
    const address = isExact ? pc : pc - 1;
    const found = this.#resolver.layout(layout, identity);
    const mapped = found && findMapping(found.mappings, processAddress(address));
    if (!found || !mapped) {
      return this.#number(this.#numbers, `?:${address}`, fresh, () => nameless(undefined, address));
    }
    if (mapped.what === 'anonymous') return this.#anonymous(found.process, address, fresh);
    return this.#file(found.process, mapped, mapped.what, address, fresh);
  }

  #file(
    process: Process,
    mapped: Mapped<MappedThing>,
    executable: Executable,
    address: number,
    fresh: ResolvedLocation[],
  ): number {
    const binary = this.#resolver.binary(process, mapped);
    const bias = binary?.bias(mapped.start, mapped.raw.offset);
    if (!binary || bias === undefined) {
      const offset = address - mapped.start + mapped.raw.offset;
      const { path } = executable;
      return this.#number(this.#numbers, `${path}:${offset}`, fresh, () =>
        nameless(
          this.#mapping(path, () => ({ ...special(path), fileOffset: mapped.raw.offset })),
          offset,
        ),
      );
    }
    const fileAddress = virtualAddress(address - bias + binary.opened.image.textBase);
    return this.#number(this.#numbersOf(binary.opened.id), fileAddress, fresh, () => {
      const { type, lines } = binary.symbol(fileAddress);
      const mapping = this.#mapping(`#${binary.opened.id}`, () =>
        binary.mapping(mapped.start, mapped.end, mapped.raw.offset),
      );
      return { mapping, address: fileAddress, type, lines };
    });
  }

  #anonymous(process: Process, address: number, fresh: ResolvedLocation[]): number {
    const symbol = this.#jit.lookup(process.identity, processAddress(address));
    const { pid, startNs } = process.identity;
    const mapping = this.#mapping('[anon]', () => special('[anon]'));
    if (!symbol) {
      // Numbered anew at each flush: its name may arrive later.
      fresh.push({ mapping, address, type: 'jit', lines: [] });
      return this.#next++;
    }
    // Code is moved and collected: the name belongs to the key.
    const { type, line } = symbol;
    return this.#number(this.#numbers, `${pid}:${startNs}:${address}:${line.name}`, fresh, () => ({
      mapping,
      address,
      type,
      lines: [line],
    }));
  }

  #number<Key>(
    numbers: Map<Key, number>,
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

  #numbersOf(binary: number): Map<number, number> {
    let numbers = this.#fileNumbers.get(binary);
    if (!numbers) {
      numbers = new Map();
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
    const first = process?.mappings.find(({ what }) => what instanceof Executable);
    if (!first || first.what === 'anonymous') return undefined;
    return { name: '', executable: first.what.path };
  }
}

function special(name: string): Mapping {
  return { start: 0, end: 0, fileOffset: 0, file: name, buildId: '', goBuildId: '' };
}

function nameless(mapping: Mapping | undefined, address: number): ResolvedLocation {
  return { mapping, address, type: 'native', lines: [] };
}
