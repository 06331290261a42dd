/**
 * `npm run test:go-matrix [RELEASE…]`: names, files, lines, start lines and inlined
 * calls of a program built by many releases of Go, in many ways, against what its
 * own runtime says. Releases come from the module proxy and stay in Go's module
 * cache. Prints a table; fails when one address differs.
 */
import {
  buildChains,
  buildChainsCaller,
  type ChainsBuild,
  compareChains,
  runtimeChains,
} from './go-oracle.test-support.ts';
import { openGo, temporaryDirectory } from './go-testing.ts';

/** The oldest and the newest that there are, and every change of a layout between. */
const RELEASES = [
  '1.16.15',
  '1.17.13',
  '1.18.10',
  '1.19.13',
  '1.20.14',
  '1.21.0',
  '1.23.12',
  '1.27.4',
];
const BUILDS: readonly ChainsBuild[] = [
  {},
  { stripped: true },
  { mode: 'pie', stripped: true },
  { external: true },
  { external: true, mode: 'pie', stripped: true },
  { mode: 'c-shared', stripped: true },
  { mode: 'c-archive', stripped: true },
];
const ADDRESSES = 20_000;

const directory = temporaryDirectory();
const wanted = process.argv.slice(2);
console.log('release   build                        addresses  inlined  deepest  different');
for (const release of wanted.length > 0 ? wanted : RELEASES) {
  for (const build of BUILDS) {
    const path = buildChains(directory, { ...build, release });
    const isLibrary = build.mode?.startsWith('c-') ?? false;
    const run = isLibrary ? buildChainsCaller(directory, path) : path;
    const { functions } = openGo(build.mode === 'c-archive' ? run : path);
    const found = compareChains(functions, runtimeChains(run, functions, ADDRESSES));
    const { mode = 'exe', stripped = false, external = false } = build;
    const title = `${mode}${stripped ? ' stripped' : ''}${external ? ' C linker' : ''}`;
    const counts = [found.compared, found.inlined, found.deepest, found.different];
    const columns = counts.map((count, at) => String(count).padStart([9, 8, 8, 10][at]!));
    console.log(release.padEnd(9), title.padEnd(27), columns.join(' '));
    for (const difference of found.differences) console.log(`  ${difference}`);
    if (found.different > 0 || found.inlined < 1000 || functions.problems.size > 0) {
      console.log(`  refused: ${JSON.stringify([...functions.problems])}`);
      process.exitCode = 1;
    }
  }
}
