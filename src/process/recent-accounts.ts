/** Accounts of many; the one that was charged longest ago is forgotten when there are too many. */
export class RecentAccounts<Key, Account> {
  readonly #most: number;
  /** Least recently charged first. */
  readonly #accounts = new Map<Key, Account>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Of accounts. */
  get size(): number {
    return this.#accounts.size;
  }

  /** As it is, if there is one. */
  find(key: Key): Account | undefined {
    return this.#accounts.get(key);
  }

  /** To be charged now: the last to be forgotten. @param open makes one without debts */
  charge(key: Key, open: () => Account): Account {
    const account = this.#accounts.get(key) ?? open();
    this.#accounts.delete(key);
    this.#accounts.set(key, account);
    if (this.#accounts.size > this.#most) {
      const [oldest] = this.#accounts.keys();
      this.#accounts.delete(oldest!);
    }
    return account;
  }
}
