/** How the set-up speaks: short lines on stderr, and failures that carry their exit code. */

/** Wrong machine or missing privileges; the same number as the CLI uses. */
export const EXIT_MACHINE = 3;

/** A failure whose message says what to do next. */
export class SetupError extends Error {
  /**
   * @param {string} message
   * @param {number} exitCode
   */
  constructor(message, exitCode = 1) {
    super(message);
    this.name = 'SetupError';
    this.exitCode = exitCode;
  }
}

/** @param {string} line */
export function say(line) {
  process.stderr.write(`flametap setup: ${line}\n`);
}
