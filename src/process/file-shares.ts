/** Of open files and their text, what one owner may have: the rest is for the others. */
import type { RawMapping } from './maps.ts';

export interface FileShare {
  readonly files: number;
  /** Bytes: the kernel's directories of unwind tables grow with them, loaded or not. */
  readonly text: number;
}

export class FileShares {
  readonly #most: FileShare;
  readonly #owners = new Map<string, { files: number; text: number }>();

  constructor(most: FileShare) {
    this.#most = most;
  }

  /** False when it would be more than the owner's share. */
  take(owner: string, text: number): boolean {
    const { files, text: before } = this.#owners.get(owner) ?? { files: 0, text: 0 };
    if (files + 1 > this.#most.files || before + text > this.#most.text) return false;
    this.#owners.set(owner, { files: files + 1, text: before + text });
    return true;
  }

  release(owner: string, text: number): void {
    const held = this.#owners.get(owner);
    if (!held) return;
    held.files--;
    held.text -= text;
    if (held.files === 0) this.#owners.delete(owner);
  }
}

/**
 * Users are told apart, and the containers that all run as root by their file systems.
 * @param user undefined when nobody knows any more: his process has ended
 */
export const fileOwner = (user: number | undefined, { device }: RawMapping): string =>
  user === 0 ? `device ${device}` : `user ${user ?? 'unknown'}`;
