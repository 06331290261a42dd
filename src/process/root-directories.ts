/** Root directories of processes that have another than ours, kept open: they outlive the processes. */
import type { OpenedRoot, ProcessHost } from './host.ts';
import type { Process } from './process.ts';

/** Containers whose binaries are open at the same time. */
const MAX_OPEN = 256;
/** Of them, for processes of one user: everybody may have mount namespaces of his own, as many as he likes. */
const OWN_SHARE = 1 / 2;

interface Counted {
  readonly root: OpenedRoot;
  /** User id of the process that it was opened for. */
  readonly owner: number;
  users: number;
}

export class RootDirectories {
  readonly #host: Pick<ProcessHost, 'openRoot' | 'files' | 'userIds'>;
  readonly #maxOpen: number;
  readonly #open = new Map<string, Counted>();
  /** Undefined: ours, or out of reach. */
  readonly #identities = new WeakMap<Process, string | undefined>();

  constructor(host: Pick<ProcessHost, 'openRoot' | 'files' | 'userIds'>, maxOpen = MAX_OPEN) {
    this.#host = host;
    this.#maxOpen = maxOpen;
  }

  get size(): number {
    return this.#open.size;
  }

  /** The root of a process, if it is not `known` already; whoever gets it calls release(). */
  take(process: Process, known: readonly OpenedRoot[]): OpenedRoot | undefined {
    if (this.#identities.has(process)) {
      const identity = this.#identities.get(process);
      if (identity === undefined || known.some((root) => root.identity === identity)) return;
      const counted = this.#open.get(identity);
      if (counted) counted.users++;
      if (counted) return counted.root;
    }
    return this.#look(process, known);
  }

  release({ identity }: OpenedRoot): void {
    const counted = this.#open.get(identity);
    if (!counted || --counted.users > 0) return;
    this.#open.delete(identity);
    this.#host.files.close(counted.root.fd);
  }

  /** Descriptors of their own of the same directories, to be closed by giveBack(). */
  reopened(roots: readonly OpenedRoot[]): number[] {
    return roots.flatMap(({ fd }) => {
      try {
        return [this.#host.files.reopen(fd)];
      } catch {
        // Without a descriptor to spare the host is looked at all the same.
        return [];
      }
    });
  }

  giveBack(descriptors: readonly number[]): void {
    for (const fd of descriptors) this.#host.files.close(fd);
  }

  #look(process: Process, known: readonly OpenedRoot[]): OpenedRoot | undefined {
    // The pid of one that has ended may be another's.
    if (process.ended !== undefined || this.#open.size >= this.#maxOpen) return undefined;
    const owner = this.#host.userIds(process.identity.pid)?.[0] ?? -1;
    let own = 0;
    for (const counted of this.#open.values()) own += Number(counted.owner === owner);
    if (own >= this.#maxOpen * OWN_SHARE) return undefined;
    const root = this.#host.openRoot(process.identity.pid);
    this.#identities.set(process, root?.identity);
    if (!root) return undefined;
    const counted = this.#open.get(root.identity);
    if (!counted) {
      this.#open.set(root.identity, { root, owner, users: 1 });
      return root;
    }
    this.#host.files.close(root.fd);
    if (known.includes(counted.root)) return undefined;
    counted.users++;
    return counted.root;
  }
}
