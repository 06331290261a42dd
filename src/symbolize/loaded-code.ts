/** Kernel code whose coming was seen, with its exact size: BPF programs. */
import type { KernelAddress } from '../units/units.ts';
import { cleanName } from './clean-name.ts';
import { lastAtMost } from './sorted.ts';

interface Loaded {
  readonly end: number;
  readonly name: string;
}

/** Programs remembered; the oldest are forgotten first, as kallsyms knows those that still run. */
const MAX_PROGRAMS = 16_384;
/** The kernel's KSYM_NAME_LEN. */
const MAX_SYMBOL_NAME = 512;

/** Of two at one place the later one counts; one that went away stays for the samples it left. */
export class LoadedCode {
  /** By start, the one seen last at the end. */
  readonly #programs = new Map<number, Loaded>();
  #starts: Float64Array | undefined;

  add(start: KernelAddress, size: number, name: Uint8Array): void {
    this.#programs.delete(start);
    this.#programs.set(start, { end: start + size, name: cleanName(name, MAX_SYMBOL_NAME) });
    if (this.#programs.size > MAX_PROGRAMS) {
      for (const oldest of this.#programs.keys()) {
        this.#programs.delete(oldest);
        break;
      }
    }
    this.#starts = undefined;
  }

  /** The name as kallsyms has it. */
  find(address: KernelAddress): string | undefined {
    this.#starts ??= Float64Array.from(this.#programs.keys()).sort();
    const at = lastAtMost(this.#starts, this.#starts.length, address);
    const program = at < 0 ? undefined : this.#programs.get(this.#starts[at]!);
    return program && address < program.end ? program.name : undefined;
  }
}
