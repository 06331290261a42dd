/** A file system that misbehaves when it is told to: test/programs/faulty-fs.c. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { buildProgram } from './programs.ts';

export type Fault = 'good' | 'eio' | 'estale' | 'hang';

export class FaultyFileSystem {
  /** The file, as the file system shows it. */
  readonly program: string;
  readonly #server: ChildProcess;
  readonly #lines: Interface;

  private constructor(program: string, server: ChildProcess, lines: Interface) {
    this.program = program;
    this.#server = server;
    this.#lines = lines;
  }

  /** Shows `file` in a new folder. Needs root, or the right to mount. */
  static async mount(file: string, folder: string): Promise<FaultyFileSystem> {
    mkdirSync(folder);
    const server = spawn(buildProgram('faulty-fs'), [file, folder], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: server.stdout! });
    const mounted = new FaultyFileSystem(join(folder, 'program'), server, lines);
    await mounted.#said('ready');
    return mounted;
  }

  /** From now on, for whoever opens or reads. */
  async be(fault: Fault): Promise<void> {
    this.#server.stdin!.write(`${fault}\n`);
    await this.#said('told');
  }

  /** The server does not run any more, as after SIGSTOP, or runs again. */
  stop(isStopped = true): void {
    this.#server.kill(isStopped ? 'SIGSTOP' : 'SIGCONT');
  }

  /** Unmounts; whoever waited for an answer gets an error. */
  async end(): Promise<void> {
    this.stop(false);
    this.#server.stdin!.end();
    await once(this.#server, 'exit');
  }

  async #said(what: string): Promise<void> {
    const [line] = await Promise.race([
      once(this.#lines, 'line'),
      once(this.#server, 'exit').then(() => ['ended']),
    ]);
    if (line !== what) throw new Error(`faulty-fs said ${line} instead of ${what}`);
  }
}
