/** A `flametap agent` under measurement. */
import { type ChildProcess, spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { CLI, pause } from '../harness/record.ts';
import { bpfPrograms } from './meter.ts';

export class Agent {
  readonly #child: ChildProcess;
  readonly #address: string;
  readonly #started = performance.now();
  #log = '';

  /** @param port of the page, on loopback. @param options further ones */
  constructor(port: number, options: readonly string[] = []) {
    this.#address = `127.0.0.1:${port}`;
    this.#child = spawn(CLI, ['agent', '--listen', this.#address, ...options], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child.stderr!.on('data', (chunk: Buffer) => {
      this.#log = (this.#log + chunk.toString()).slice(-4000);
    });
    this.#child.on('error', (error) => {
      this.#log += error.message;
    });
  }

  get pid(): number {
    this.check();
    return this.#child.pid!;
  }

  /** @throws Error with the agent's last words when it is not running. */
  check(): void {
    if (this.#child.pid === undefined || this.#child.exitCode !== null) {
      throw new Error(`the agent ended with ${this.#child.exitCode}: ${this.#log}`);
    }
  }

  /**
   * Waits until the sampler ran; BPF statistics must be on.
   * @returns seconds since the agent was started; read every 20 ms.
   */
  async firstTick(): Promise<number> {
    for (;;) {
      const ticking = bpfPrograms().some((one) => one.name.startsWith('ft_sample') && one.runs > 0);
      const seconds = (performance.now() - this.#started) / 1000;
      if (ticking) return seconds;
      this.check();
      if (seconds > 30) throw new Error(`the agent takes no samples: ${this.#log}`);
      await pause(20);
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.pid === undefined) return;
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGTERM');
    const patience = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(patience);
  }
}
