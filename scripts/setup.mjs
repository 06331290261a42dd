/**
 * Makes this clone ready to run: system packages, npm packages, Node 24, the
 * addon, the BPF object, the bundles. Needs only Node 20 and npm; does only
 * what is not done yet.
 *
 *   node scripts/setup.mjs [test|bench]...    also the packages of these lists
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAll } from './build.mjs';
import { ensureGo } from './go-toolchain.mjs';
import { linkNode } from './node-runtime.mjs';
import { ensureModules } from './npm-packages.mjs';
import { EXIT_MACHINE, SetupError, say } from './say.mjs';
import { ensurePackages, readPackageLists } from './system-packages.mjs';
import { linkCommands } from './test-commands.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

async function setUp() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new SetupError(
      `Flametap runs on Linux on x86-64; this is ${process.platform} on ${process.arch}`,
      EXIT_MACHINE,
    );
  const lists = process.argv.slice(2);
  const unknown = lists.find((list) => list !== 'test' && list !== 'bench');
  if (unknown !== undefined) throw new SetupError(`no package list '${unknown}': test, bench`, 2);
  ensurePackages(readPackageLists(join(root, 'scripts/packages.json'), ['build', ...lists]));
  ensureModules(root);
  linkNode(root);
  if (lists.includes('test')) {
    ensureGo(root);
    linkCommands(root);
  }
  await buildAll(root);
}

try {
  await setUp();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  say(error.message);
  process.exitCode = error.exitCode;
}
