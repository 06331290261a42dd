/** Where a value came from, and what is wrong with one. */

export type Origin =
  | { readonly from: 'default' }
  | { readonly from: 'file'; readonly file: string; readonly line: number }
  | { readonly from: 'environment'; readonly variable: string }
  | { readonly from: 'set'; readonly path: string }
  | { readonly from: 'option'; readonly option: string };

export const DEFAULT: Origin = { from: 'default' };

/** @returns `flametap.yaml:3`, `FLAMETAP_CAPTURE_HZ`, `--set capture.hz`, `--hz` or `default`; never a value */
export function originText(origin: Origin): string {
  switch (origin.from) {
    case 'default':
      return 'default';
    case 'file':
      return `${origin.file}:${origin.line}`;
    case 'environment':
      return origin.variable;
    case 'set':
      return `--set ${origin.path}`;
    case 'option':
      return origin.option;
  }
}

export interface ConfigProblem {
  readonly origin: Origin;
  /** Path of the key, such as `capture.hz`; '' for the file as a whole. */
  readonly key: string;
  /** What is wrong, what is allowed. */
  readonly message: string;
}

/** @returns one line: `flametap.yaml:3: capture.hz: '0' is not a whole number from 1 to 10000` */
export function problemText({ origin, key, message }: ConfigProblem): string {
  const place = origin.from === 'default' ? '' : `${originText(origin)}: `;
  // These name the key already.
  const named = origin.from === 'set' && origin.path === key;
  return place + (key === '' || named || origin.from === 'option' ? '' : `${key}: `) + message;
}

/** The configuration is wrong: all that is wrong with it, in the order of its places. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(problemText).join('\n'));
    this.problems = problems;
  }
}

/** A value does not fit; the message says what is allowed. */
export class Unfit extends Error {
  override readonly name = 'Unfit';
}
