/**
 * Room for a probe, whatever others do: of many connections one that nobody was let in by gives
 * way to a new one, then the one that has been without a request for longest; and only so many
 * may be busy with an answer.
 */
import type { Socket } from 'node:net';

export const MOST_CONNECTIONS = 64;
/** With an answer under way; the others are idle, so that a new one always finds room. */
export const MOST_BUSY = 48;

export class Connections {
  /** Nothing has been answered yet but refusals; the oldest first. */
  readonly #fresh = new Set<Socket>();
  /** In the order of their last requests. */
  readonly #idle = new Set<Socket>();
  readonly #busy = new Set<Socket>();
  #displaced = 0;

  /** How many have given way. */
  get displaced(): number {
    return this.#displaced;
  }

  /** A new one. */
  open(socket: Socket): void {
    socket.once('close', () => {
      this.#fresh.delete(socket);
      this.#idle.delete(socket);
      this.#busy.delete(socket);
    });
    if (this.#fresh.size + this.#idle.size + this.#busy.size >= MOST_CONNECTIONS) {
      const [oldest] = this.#fresh.size > 0 ? this.#fresh : this.#idle;
      this.#displaced++;
      (oldest ?? socket).destroy();
      if (oldest === undefined) return;
      this.#fresh.delete(oldest);
      this.#idle.delete(oldest);
    }
    this.#fresh.add(socket);
  }

  /** A request came that may be answered: of those that are idle, this one is the last to go. */
  use(socket: Socket): void {
    if (this.#fresh.delete(socket) || this.#idle.delete(socket)) this.#idle.add(socket);
  }

  /** An answer that takes time begins. @returns false when there are too many, and it must not */
  begin(socket: Socket): boolean {
    if (this.#busy.size >= MOST_BUSY) return false;
    if (this.#fresh.delete(socket) || this.#idle.delete(socket)) this.#busy.add(socket);
    return true;
  }

  end(socket: Socket): void {
    if (this.#busy.delete(socket) && !socket.destroyed) this.#idle.add(socket);
  }
}
