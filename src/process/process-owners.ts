/** Whose processes are: for what one owner may cost. */
import { fileOwner } from './file-shares.ts';
import type { ProcessHost } from './host.ts';
import type { Process } from './process.ts';

export interface ProcessOwner {
  readonly name: string;
  /** Not root, who runs most of what a machine has. */
  readonly isUser: boolean;
}

/** Of processes that have ended before anybody asked, and whose parents nobody knows. */
const UNKNOWN: ProcessOwner = { name: 'user unknown', isUser: true };

export class ProcessOwners {
  readonly #host: Pick<ProcessHost, 'userIds'>;
  /** By the real user ID: who runs a program of root's that way is still himself. */
  readonly #users = new WeakMap<Process, number | undefined>();
  /** Their parents', of processes that nobody has asked about. */
  readonly #presumed = new WeakMap<Process, ProcessOwner>();

  constructor(host: Pick<ProcessHost, 'userIds'>) {
    this.#host = host;
  }

  /** Asks the machine once; of one that has ended by then, what is presumed. */
  of(process: Process): ProcessOwner {
    if (!this.#users.has(process)) {
      this.#users.set(process, this.#host.userIds(process.identity.pid)?.[0]);
    }
    const user = this.#users.get(process);
    if (user === undefined) return this.#presumed.get(process) ?? UNKNOWN;
    const file = process.mappings.find(({ what }) => what !== 'anonymous');
    const name = user > 0 || !file ? `user ${user}` : fileOwner(user, file.raw);
    return { name, isUser: user !== 0 };
  }

  /** A child, or another program in the same process, is presumed to be the same owner's. */
  presume(process: Process, owner: ProcessOwner): void {
    this.#presumed.set(process, owner);
  }
}
