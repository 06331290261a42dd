/**
 * Room for indices of symbols. One of 300,000 symbols takes 7 MB, and a user can run ever new files
 * with as many: those go first that nobody has asked for longest, and a user's before his share is more.
 */
import type { ProcessOwner } from '../process/process-owners.ts';

export interface SymbolHolder {
  /** It makes the index anew when it is asked again. */
  dropSymbols(): void;
}

export interface SymbolRoomLimits {
  /** Bytes, of one user that is not root. */
  readonly ofUser: number;
  readonly ofAll: number;
}

/** All the files of a desktop or a node of a cluster that have names to be looked up have about 60 MB. */
const LIMITS: SymbolRoomLimits = { ofUser: 16 << 20, ofAll: 96 << 20 };

interface Held {
  readonly owner: ProcessOwner;
  readonly bytes: number;
}

export class SymbolRoom {
  readonly #limits: SymbolRoomLimits;
  /** Least recently asked for first. */
  readonly #held = new Map<SymbolHolder, Held>();

  constructor(limits: SymbolRoomLimits = LIMITS) {
    this.#limits = limits;
  }

  /** A file was asked for a name; the latest one stays, however large. */
  used(holder: SymbolHolder, owner: ProcessOwner, bytes: number): void {
    const isNew = !this.#held.delete(holder);
    this.#held.set(holder, { owner, bytes });
    if (!isNew) return;
    if (owner.isUser)
      this.#makeRoom(holder, this.#limits.ofUser, (held) => held.name === owner.name);
    this.#makeRoom(holder, this.#limits.ofAll, () => true);
  }

  released(holder: SymbolHolder): void {
    this.#held.delete(holder);
  }

  #makeRoom(latest: SymbolHolder, limit: number, isOf: (owner: ProcessOwner) => boolean): void {
    let bytes = 0;
    for (const held of this.#held.values()) if (isOf(held.owner)) bytes += held.bytes;
    for (const [holder, held] of this.#held) {
      if (bytes <= limit) break;
      if (holder === latest || !isOf(held.owner)) continue;
      bytes -= held.bytes;
      this.#held.delete(holder);
      holder.dropSymbols();
    }
  }
}
