/** Which carriers of labels a process has, found once per file and process. */
import { type CarrierLayout, noCarriers } from '../context/carrier-layout.ts';
import type { Process } from '../process/process.ts';
import type { Binary } from './binary.ts';

/** A binary as a process has it mapped. */
export interface PlacedBinary {
  readonly binary: Binary;
  /** Process address - file address. */
  readonly slide: number;
}

export class ProcessCarriers {
  /** @param binaries those of its files that are open */
  of(_process: Process, _binaries: readonly PlacedBinary[]): CarrierLayout {
    return noCarriers;
  }
}
