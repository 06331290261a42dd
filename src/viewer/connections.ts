/**
 * Room for a probe, whatever others do: of many connections the one that has been without a
 * request for longest gives way to a new one, and only so many may be busy with an answer.
 */
import type { Socket } from 'node:net';

export const MOST_CONNECTIONS = 64;
/** With an answer under way; the others are idle, so that a new one always finds room. */
export const MOST_BUSY = 48;

export class Connections {
  /** Since when it has had nothing to do; those with an answer under way are in `#busy`. */
  readonly #idle = new Set<Socket>();
  readonly #busy = new Set<Socket>();

  /** A new one. */
  open(socket: Socket): void {
    socket.once('close', () => {
      this.#idle.delete(socket);
      this.#busy.delete(socket);
    });
    if (this.#idle.size + this.#busy.size >= MOST_CONNECTIONS) {
      // In the order of their becoming idle.
      const [oldest] = this.#idle;
      (oldest ?? socket).destroy();
      if (oldest === undefined) return;
      this.#idle.delete(oldest);
    }
    this.#idle.add(socket);
  }

  /** An answer that takes time begins. @returns false when there are too many, and it must not */
  begin(socket: Socket): boolean {
    if (this.#busy.size >= MOST_BUSY) return false;
    if (this.#idle.delete(socket)) this.#busy.add(socket);
    return true;
  }

  end(socket: Socket): void {
    if (this.#busy.delete(socket) && !socket.destroyed) this.#idle.add(socket);
  }
}
