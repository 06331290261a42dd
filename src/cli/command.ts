/** What a command is to the dispatcher, and what it gets to work with. */
import type { Manual } from './manual.ts';
import type { StartProfiler } from './profiler-seam.ts';

/** A standard stream as far as commands need it. */
export interface Terminal {
  readonly isTTY: boolean;
  /** @returns when the text or bytes have left; rejects when the reader is gone */
  write(data: string | Uint8Array): Promise<void>;
}

export interface Surroundings {
  /** Data. */
  readonly stdout: Terminal;
  /** Progress, logs and errors. */
  readonly stderr: Terminal;
  readonly startProfiler: StartProfiler;
  /** Calls back at SIGINT, SIGTERM and SIGHUP until the returned function is called. */
  onStopSignal(listener: (signal: NodeJS.Signals) => void): () => void;
  /** Calls back at errors that nobody has caught, which otherwise end the process at once. */
  onUncaught(listener: (error: Error) => void): () => void;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly manual: Manual;
  /**
   * @returns exit code
   * @throws UsageError, CommandError, MachineError
   */
  run(args: readonly string[], surroundings: Surroundings): Promise<number>;
}
