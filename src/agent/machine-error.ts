/**
 * This machine, or what this process may do on it, does not allow profiling.
 * The CLI ends with exit code 3 and points to `flametap doctor`.
 */
export class MachineError extends Error {
  override readonly name = 'MachineError';
  /** Id of the doctor's check that explains it, '' = none. */
  readonly check: string;

  /**
   * @param message what is missing, in one line
   * @param check id of the doctor's check
   */
  constructor(message: string, check = '') {
    super(message);
    this.check = check;
  }
}
