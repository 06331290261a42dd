/** YAML as a tree with line numbers. Whatever the text holds, it ends soon: in a tree or in problems. */

import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type YAMLMap,
} from 'yaml';
import { yamlFault } from './yaml-faults.ts';

export type Tree =
  | {
      readonly is: 'scalar';
      readonly value: string | number | boolean | null;
      readonly line: number;
    }
  | { readonly is: 'list'; readonly items: readonly Tree[]; readonly line: number }
  | { readonly is: 'map'; readonly entries: readonly Entry[]; readonly line: number };

export interface Entry {
  readonly key: string;
  /** Of the key. */
  readonly line: number;
  readonly value: Tree;
}

export interface SyntaxProblem {
  readonly line: number;
  readonly message: string;
}

export const MAX_BYTES = 256 << 10;
/** Aliases count as often as they are used. */
const MAX_NODES = 20_000;
const MAX_DEPTH = 32;
const TOO_DEEP = `is nested more than ${MAX_DEPTH} levels deep`;
class Bad extends Error {
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

class Reader {
  readonly #lines: LineCounter;
  readonly #anchors = new Map<string, Node>();
  #nodes = 0;

  constructor(lines: LineCounter) {
    this.#lines = lines;
  }

  tree(node: unknown, fallbackLine: number, depth = 0): Tree {
    const line = this.#lineOf(node) ?? fallbackLine;
    this.#nodes += 1;
    if (this.#nodes > MAX_NODES) throw new Bad(line, `has more than ${MAX_NODES} values`);
    if (depth > MAX_DEPTH) throw new Bad(line, TOO_DEEP);
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      if (!target) throw new Bad(line, `there is no &${node.source} before *${node.source}`);
      return { ...this.tree(target, line, depth + 1), line };
    }
    if (node === null || node === undefined) return { is: 'scalar', value: null, line };
    if ((isMap(node) || isSeq(node) || isScalar(node)) && node.anchor !== undefined)
      this.#anchors.set(node.anchor, node);
    if (isMap(node)) return { is: 'map', entries: this.#entries(node, line, depth), line };
    if (isSeq(node)) {
      return {
        is: 'list',
        items: node.items.map((item) => this.tree(item, line, depth + 1)),
        line,
      };
    }
    if (!isScalar(node)) throw new Bad(line, 'has something that is no value');
    const { value } = node;
    if (value === null || ['string', 'number', 'boolean'].includes(typeof value))
      return { is: 'scalar', value: value as string | number | boolean | null, line };
    throw new Bad(line, 'has a value of a type that is not used here');
  }

  #entries(map: YAMLMap, line: number, depth: number): Entry[] {
    const seen = new Map<string, number>();
    return map.items.map(({ key, value }: Pair): Entry => {
      const at = this.#lineOf(key) ?? line;
      const name = isScalar(key) ? String(key.value) : undefined;
      if (name === undefined) throw new Bad(at, 'a key must be a plain word');
      const before = seen.get(name);
      if (before !== undefined) throw new Bad(at, `'${name}' stands on line ${before} already`);
      seen.set(name, at);
      return { key: name, line: at, value: this.tree(value, at, depth + 1) };
    });
  }

  #lineOf(node: unknown): number | undefined {
    const range = node && typeof node === 'object' && 'range' in node ? node.range : undefined;
    return Array.isArray(range) ? this.#lines.linePos(range[0]).line : undefined;
  }
}

/** @returns the tree, a null when there is nothing in it; or what is wrong first */
export function readYaml(text: string): Tree | { readonly problem: SyntaxProblem } {
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      // The check of the parser costs the square of the keys; ours is above.
      uniqueKeys: false,
      // Silent would say nothing of a second document.
      logLevel: 'error',
      version: '1.2',
    });
    // More of them are mostly consequences of the first.
    const [first] = [...document.errors, ...document.warnings];
    if (first) {
      const { line, col } = lines.linePos(first.pos[0]);
      const message = yamlFault(first.code, first.message);
      throw new Bad(line, `is not YAML at column ${col}: ${message}`);
    }
    return new Reader(lines).tree(document.contents, 1);
  } catch (error) {
    if (error instanceof Bad) return { problem: { line: error.line, message: error.message } };
    // The parser calls itself for each level.
    if (error instanceof RangeError) return { problem: { line: 1, message: TOO_DEEP } };
    throw error;
  }
}
