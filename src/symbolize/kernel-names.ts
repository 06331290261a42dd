/** What is at a kernel address, while modules and BPF programs come and go. */
import type { KernelAddress } from '../units/units.ts';
import { type KernelSymbol, KernelSymbols, kernelSymbol } from './kernel-symbols.ts';
import { LoadedCode } from './loaded-code.ts';

/** Where kernel names are read from. */
export interface KernelFiles {
  /** Contents of `/proc/kallsyms` in pieces, none where it cannot be read. */
  kallsyms(): Iterable<Uint8Array>;
  /** Contents of `/proc/modules`. */
  modules(): Uint8Array;
  /** Monotonic milliseconds. */
  now(): number;
}

export interface KernelName extends KernelSymbol {
  /** `name` says why there is none. */
  readonly unnamed?: true;
}

/** Reading takes 0.1 s of CPU on a kernel with all modules: little of the time goes there. */
const REST_PER_WORK = 300;
const MIN_REST_MS = 1000;
/** Twice as long after each time that did not help: some code never has a name. */
const MAX_REST_MS = 600_000;
/** Addresses stay hidden until somebody changes a setting. */
const HIDDEN_REST_MS = 60_000;
/** A BPF program that was unloaded makes its place free for another, whose coming may not have been seen. */
const MAX_BPF_AGE_MS = 900_000;

const HIDDEN_TEXT = {
  kptr_restrict: '[kernel: addresses hidden by kptr_restrict]',
  no_symbols: '[kernel: no symbols]',
} as const;

export class KernelNames {
  readonly #files: KernelFiles;
  readonly #problems = new Map<string, number>();
  /** BPF programs with their sizes, which kallsyms does not have. */
  readonly loaded = new LoadedCode();
  #symbols: KernelSymbols | undefined;
  #readAt = 0;
  /** Not read again before. */
  #restUntil = 0;
  /** Readings in a row that did not have the name looked for. */
  #fruitless = 0;

  constructor(files: KernelFiles) {
    this.#files = files;
  }

  /** Addresses without a name, by reason: `kernel_kptr_restrict`, `kernel_no_symbols`, `kernel_symbol_missing`. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  /** undefined when the kernel's names are known and this address has none. */
  lookup(address: KernelAddress): KernelName | undefined {
    const seen = this.loaded.find(address);
    if (seen !== undefined) return kernelSymbol(seen, '[bpf]');
    let found = this.#symbols?.lookup(address);
    if (this.#mayHaveChanged(found)) found = this.#reread(address, found);
    if (found) return found;
    const hidden = this.#symbols?.hidden || undefined;
    this.#count(`kernel_${hidden ?? 'symbol_missing'}`);
    if (hidden === undefined) return undefined;
    const name = HIDDEN_TEXT[hidden];
    return { name, systemName: name, module: '[kernel]', unnamed: true };
  }

  #mayHaveChanged(found: KernelSymbol | undefined): boolean {
    if (found === undefined) return true;
    return found.module === '[bpf]' && this.#files.now() - this.#readAt > MAX_BPF_AGE_MS;
  }

  #reread(address: KernelAddress, before: KernelSymbol | undefined): KernelSymbol | undefined {
    const begun = this.#files.now();
    if (begun < this.#restUntil) return before;
    this.#symbols = KernelSymbols.parse(this.#files.kallsyms(), this.#files.modules());
    const found = this.#symbols.lookup(address);
    this.#fruitless = found ? 0 : this.#fruitless + 1;
    this.#readAt = this.#files.now();
    this.#restUntil = this.#readAt + this.#rest(this.#readAt - begun);
    return found;
  }

  #rest(took: number): number {
    if (this.#symbols?.hidden !== '') return HIDDEN_REST_MS;
    const rest = Math.max(MIN_REST_MS, took * REST_PER_WORK);
    return Math.min(rest * 2 ** Math.max(0, this.#fruitless - 1), MAX_REST_MS);
  }

  #count(reason: string): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + 1);
  }
}
