/** Finding frames by a word or a regular expression. */

import { printable } from './text.ts';
import type { Frame } from './tree.ts';
import type { View } from './view.ts';

export interface Query {
  readonly matches: (frame: Frame) => boolean;
  /** Set when the text looked like /regex/ but is not one. */
  readonly error: string;
}

/** Longer names are matched by their beginning, so that a slow pattern stays bounded. */
const LONGEST_MATCHED = 1000;

/**
 * Plain text is found anywhere, case ignored; `/text/` is a regular expression;
 * `"text"` is the whole name of a frame. null = no search.
 */
export function compileQuery(text: string): Query | null {
  const wanted = text.trim();
  if (wanted === '') return null;
  const pattern = /^\/(.+)\/([imsu]*)$/.exec(wanted);
  if (pattern) {
    let regex: RegExp;
    try {
      regex = new RegExp(pattern[1]!, pattern[2]!);
    } catch (error) {
      return { matches: () => false, error: error instanceof Error ? error.message : 'not valid' };
    }
    return {
      matches: (frame) =>
        regex.test(frame.name.slice(0, LONGEST_MATCHED)) ||
        (frame.module !== '' && regex.test(frame.module.slice(0, LONGEST_MATCHED))),
      error: '',
    };
  }
  if (wanted.length > 2 && wanted.startsWith('"') && wanted.endsWith('"')) {
    const name = wanted.slice(1, -1);
    return { matches: (frame) => printable(frame.name) === name, error: '' };
  }
  const lower = wanted.toLowerCase();
  return {
    matches: (frame) =>
      frame.name.toLowerCase().includes(lower) ||
      frame.module.toLowerCase().includes(lower) ||
      frame.file.toLowerCase().includes(lower),
    error: '',
  };
}

export interface Matches {
  /** 1 for each frame index that matches. */
  readonly frames: Uint8Array;
  /** Matching nodes, largest first, at most MOST_LISTED of them. */
  readonly nodes: readonly number[];
  readonly count: number;
  /** Samples under at least one matching node, each counted once. */
  readonly total: number;
}

const MOST_LISTED = 1000;

export function findMatches(view: View, matches: (frame: Frame) => boolean): Matches {
  const frames = new Uint8Array(view.frames.length);
  for (let index = 0; index < frames.length; index++) {
    frames[index] = matches(view.frames[index]!) ? 1 : 0;
  }
  const nodes: number[] = [];
  let total = 0;
  let coveredUntil = 0;
  for (let node = 1; node < view.length; node++) {
    if (frames[view.frame[node]!] === 0) continue;
    nodes.push(node);
    if (node < coveredUntil) continue;
    total += view.total[node]!;
    coveredUntil = view.end[node]!;
  }
  const count = nodes.length;
  nodes.sort((a, b) => view.total[b]! - view.total[a]! || a - b);
  return { frames, nodes: nodes.slice(0, MOST_LISTED), count, total };
}
