/** Whose processes are: for what one owner may cost. */
import { fileOwner } from './file-shares.ts';
import type { ProcessHost } from './host.ts';
import type { RawMapping } from './maps.ts';
import type { Process } from './process.ts';

export interface ProcessOwner {
  readonly name: string;
  /** Not root, who runs most of what a machine has. */
  readonly isUser: boolean;
}

export class ProcessOwners {
  readonly #host: Pick<ProcessHost, 'userIds'>;
  /** By the real user ID: who runs a program of root's that way is still himself. */
  readonly #users = new WeakMap<Process, number>();

  constructor(host: Pick<ProcessHost, 'userIds'>) {
    this.#host = host;
  }

  ofFile(process: Process, mapping: RawMapping): string {
    return fileOwner(this.#user(process), mapping);
  }

  of(process: Process): ProcessOwner {
    const user = this.#user(process);
    const file = process.mappings.find(({ what }) => what !== 'anonymous');
    const name = user > 0 || !file ? `user ${user}` : fileOwner(user, file.raw);
    return { name, isUser: user !== 0 };
  }

  #user(process: Process): number {
    let user = this.#users.get(process);
    if (user === undefined) {
      user = this.#host.userIds(process.identity.pid)?.[0] ?? -1;
      this.#users.set(process, user);
    }
    return user;
  }
}
