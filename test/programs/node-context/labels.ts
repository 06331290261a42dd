/** The labels of labels.cc, carried by an AsyncLocalStorage. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createRequire } from 'node:module';

interface Addon {
  readonly Labels: new (...keysAndValues: string[]) => object;
  publish(storage: object): void;
}

export class LabelStorage {
  readonly #addon: Addon;
  readonly #storage = new AsyncLocalStorage<object | undefined>();

  /** @param path of the compiled library */
  constructor(path: string) {
    this.#addon = createRequire(import.meta.url)(path);
    this.#addon.publish(this.#storage);
  }

  with<T>(run: () => T, ...keysAndValues: string[]): T {
    return this.#storage.run(new this.#addon.Labels(...keysAndValues), run);
  }

  without<T>(run: () => T): T {
    return this.#storage.run(undefined, run);
  }
}
