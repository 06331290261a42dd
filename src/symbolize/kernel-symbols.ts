/** Names of kernel code: `/proc/kallsyms` with modules and BPF programs. */
import type { KernelAddress } from '../units/units.ts';
import { cleanName } from './clean-name.ts';
import { CORE, NO_NAME, parseKallsyms } from './kallsyms.ts';
import { lastAtMost } from './sorted.ts';

export interface KernelSymbol {
  /** As shown; BPF programs as `bpf:NAME`. */
  readonly name: string;
  /** As kallsyms has it. */
  readonly systemName: string;
  /** `[kernel]`, `[bpf]`, `[ext4]` and so on: the mapping it belongs to. */
  readonly module: string;
}

/** Why there are no names: '' when there are. */
export type KernelSymbolsHidden = '' | 'kptr_restrict' | 'no_symbols';

const PAGE = 4096;
/** JIT output of a BPF program has no size in kallsyms; our own unwinder takes about 20 KiB. */
const MAX_BPF_SIZE = 64 << 10;
/** All system calls that a kernel lacks share one address: about 150 names. */
const MAX_ALIASES = 1024;
/** The kernel's KSYM_NAME_LEN. */
const MAX_SYMBOL_NAME = 512;
const BPF_PROGRAM = /^bpf_prog_([0-9a-f]{16})(?:_(.+))?$/s;

export class KernelSymbols {
  readonly hidden: KernelSymbolsHidden;
  /** Symbols that can be found. */
  readonly size: number;
  readonly #addresses: Float64Array;
  readonly #names: Uint32Array;
  readonly #modules: Uint16Array;
  readonly #moduleNames: readonly string[];
  readonly #text: Uint8Array;
  /** The kernel's own code: [start, end). */
  readonly #coreStart: number;
  readonly #coreEnd: number;
  /** By module name without brackets; empty when `/proc/modules` was not given. */
  readonly #ranges: ReadonlyMap<string, ModuleRange>;

  private constructor(kallsyms: Iterable<Uint8Array>, modules: Uint8Array) {
    const parsed = parseKallsyms(kallsyms);
    this.#addresses = parsed.addresses;
    this.#names = parsed.names;
    this.#modules = parsed.modules;
    this.#moduleNames = parsed.moduleNames;
    this.#text = parsed.text;
    this.#coreStart = parsed.coreStart;
    this.#coreEnd = parsed.coreEnd;
    this.#ranges = parseModules(modules);
    this.size = parsed.addresses.length;
    if (parsed.addresses.length > 0) this.hidden = '';
    else this.hidden = parsed.zeroAddresses > 0 ? 'kptr_restrict' : 'no_symbols';
  }

  /**
   * @param kallsyms Contents of `/proc/kallsyms`, in pieces of any size. Without CAP_SYSLOG (or with
   *   kptr_restrict = 2) all addresses in it are zero: see `hidden`.
   * @param modules Contents of `/proc/modules`, empty where the kernel has none.
   */
  static parse(
    kallsyms: Iterable<Uint8Array>,
    modules: Uint8Array = new Uint8Array(),
  ): KernelSymbols {
    return new KernelSymbols(kallsyms, modules);
  }

  /** undefined outside of all code: the last symbol before a gap does not own the gap. */
  lookup(address: KernelAddress): KernelSymbol | undefined {
    const row = lastAtMost(this.#addresses, this.#addresses.length, address);
    if (row < 0 || address >= this.#endOf(row)) return undefined;
    const systemName = this.#bestName(row);
    if (systemName === '') return undefined;
    return kernelSymbol(systemName, `[${this.#moduleNames[this.#modules[row]!]!}]`);
  }

  #endOf(row: number): number {
    const start = this.#addresses[row]!;
    const next = this.#addresses[row + 1] ?? Number.POSITIVE_INFINITY;
    const module = this.#modules[row]!;
    if (module === CORE) {
      return start >= this.#coreStart ? Math.min(next, this.#coreEnd) : start;
    }
    const name = this.#moduleNames[module]!;
    if (name === 'bpf') return Math.min(next, start + MAX_BPF_SIZE);
    if (this.#modules[row + 1] === module) return next;
    // Last of its module. Code ends at a page's end at the latest, because what
    // follows has other permissions; the size in /proc/modules counts data too
    // (kernel 6.4 keeps them apart) and so is an upper bound only.
    const range = this.#ranges.get(name);
    const page = (Math.floor(start / PAGE) + 1) * PAGE;
    const within = range !== undefined && start >= range.start && start < range.end;
    return Math.min(next, page, within ? range.end : page);
  }

  /** Of the names of one address: fewest leading underscores, then the first (kallsyms sorts strong ones first). */
  #bestName(last: number): string {
    const address = this.#addresses[last]!;
    let best = '';
    let bestUnderscores = Number.POSITIVE_INFINITY;
    for (let row = last; row >= 0 && last - row < MAX_ALIASES; row--) {
      if (this.#addresses[row] !== address) break;
      const offset = this.#names[row]!;
      if (offset === NO_NAME) continue;
      let underscores = 0;
      while (this.#text[offset + underscores] === 0x5f) underscores++;
      if (underscores <= bestUnderscores) {
        bestUnderscores = underscores;
        best = this.#readName(offset);
      }
    }
    return best;
  }

  #readName(offset: number): string {
    const bytes = this.#text.subarray(offset, offset + MAX_SYMBOL_NAME);
    const end = bytes.indexOf(0);
    // BPF programs are named by whoever loads them.
    return cleanName(end < 0 ? bytes : bytes.subarray(0, end));
  }
}

/** @param systemName As kallsyms has it, clean. */
export function kernelSymbol(systemName: string, module: string): KernelSymbol {
  const bpf = BPF_PROGRAM.exec(systemName);
  return { name: bpf === null ? systemName : `bpf:${bpf[2] ?? bpf[1]}`, systemName, module };
}

interface ModuleRange {
  readonly start: number;
  readonly end: number;
}

const MODULE_LINE = /^(\S+) (\d+) .* 0x[0-9a-f]{0,3}([0-9a-f]{13})(?: |$)/;

function parseModules(bytes: Uint8Array): ReadonlyMap<string, ModuleRange> {
  const ranges = new Map<string, ModuleRange>();
  for (const line of new TextDecoder().decode(bytes).split('\n')) {
    const match = MODULE_LINE.exec(line);
    if (match === null) continue;
    const start = Number.parseInt(match[3]!, 16);
    if (start > 0) ranges.set(match[1]!, { start, end: start + Number(match[2]) });
  }
  return ranges;
}
