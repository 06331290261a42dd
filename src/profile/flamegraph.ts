/**
 * A profile as one HTML file that needs nothing else: the flame graph page with
 * the call tree inside. Opens from a disk, from a mail, without a network.
 */
import { gzipSync } from 'node:zlib';
import { type PageTemplate, readPage, renderPage } from '../viewer/page-file.ts';
import {
  buildFlameTree,
  type FlameTree,
  type FlameTreeOptions,
  flameTreeJson,
} from './flame-tree.ts';
import type { Profile } from './model.ts';

export interface FlamegraphOptions extends FlameTreeOptions {
  /** Default: the page that the build made. */
  readonly page?: PageTemplate;
}

/** Above this many characters the tree is compressed: a browser unpacks it faster than it parses twice the text. */
const COMPRESS_FROM = 128 * 1024;

/** Throws PageError when the page was not built. */
export function encodeFlamegraph(profile: Profile, options: FlamegraphOptions = {}): string {
  return flamegraphOfTree(buildFlameTree(profile, options), options.page ?? readPage());
}

export function flamegraphOfTree(tree: FlameTree, page: PageTemplate): string {
  const json = flameTreeJson(tree);
  const small = json.length < COMPRESS_FROM;
  return renderPage(page, {
    mode: small ? 'json' : 'gzip',
    title: tree.title === '' ? 'Flame graph' : `${tree.title} – flame graph`,
    data: small ? json : gzipSync(json, { level: 9 }).toString('base64'),
  });
}
