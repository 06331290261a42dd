/** A file that is mapped somewhere: opened when first needed, again when it was closed meanwhile. */
import type { HostPid } from '../units/units.ts';
import type { RawMapping } from './maps.ts';
import type { Opened, OpenFiles, Unusable } from './open-files.ts';

export class Executable {
  readonly path: string;
  #state: Opened | Unusable | undefined;
  #failures = 0;
  #calls = 0;

  constructor(path: string) {
    this.path = path;
  }

  get opened(): Opened | undefined {
    return this.#state && 'image' in this.#state && !this.#state.closed ? this.#state : undefined;
  }

  get unusable(): Unusable | undefined {
    return this.#state && 'reason' in this.#state ? this.#state : undefined;
  }

  /**
   * Opens through any process that maps it. Where one had vanished another may
   * succeed: tried again at the 2nd, 4th, 8th … call.
   */
  open(pid: HostPid, mapping: RawMapping, files: OpenFiles): Opened | Unusable {
    const { opened, unusable } = this;
    if (opened) return opened;
    if (unusable) {
      if (!unusable.transient) return unusable;
      this.#calls++;
      if (this.#calls < 2 ** this.#failures) return unusable;
    } else {
      this.#failures = 0;
      this.#calls = 1;
    }
    const state = files.open(pid, mapping);
    if ('reason' in state) this.#failures++;
    this.#state = state;
    return state;
  }
}
