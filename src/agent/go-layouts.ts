/** Where the threads of a process keep their goroutine, for the kernel's unwinder. */
import { type GoThreadLayout, isPlausibleOffset } from '../elf/go-thread.ts';
import type { ProcessHost } from '../process/host.ts';
import type { Process } from '../process/process.ts';
import { type GoLayout, unknownGo } from '../unwind/kernel-processes.ts';

export class GoLayouts {
  readonly #host: ProcessHost;
  /** What the loader has decided, by the address of its decision. */
  readonly #decided = new WeakMap<Process, Map<number, number>>();

  constructor(host: ProcessHost) {
    this.#host = host;
  }

  /**
   * @param found undefined when the file is Go but its layout is not known
   * @param slide process address - file address
   */
  of(process: Process, found: GoThreadLayout | undefined, slide: number): GoLayout {
    if (!found) return unknownGo;
    const gOffset = found.gOffset || this.#decision(process, found.gSlot + slide);
    // Not before the library is relocated; the process is published again later.
    if (!isPlausibleOffset(gOffset)) return unknownGo;
    const { m, curg, schedBp, goid, gopc, gsignal, inC } = found;
    return { gOffset: -gOffset, m, curg, schedBp, goid, gopc, gsignal, inC, unknown: false };
  }

  #decision(process: Process, address: number): number {
    let known = this.#decided.get(process);
    if (!known) {
      known = new Map();
      this.#decided.set(process, known);
    }
    const before = known.get(address);
    if (before !== undefined) return before;
    const offset = this.#read(process, address);
    if (isPlausibleOffset(offset)) known.set(address, offset);
    return offset;
  }

  #read(process: Process, address: number): number {
    try {
      const bytes = this.#host.readMemory(process.identity.pid, address, 8);
      if (bytes.length < 8) return 0;
      return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0, true));
    } catch {
      return 0;
    }
  }
}
