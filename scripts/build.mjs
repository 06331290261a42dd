/** Builds the BPF object, the addon and the JavaScript bundles; only what changed. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeHeaders } from './node-runtime.mjs';
import { SetupError, say } from './say.mjs';

/** Bundle entry points: what is run, by the name it gets in dist/. */
const BUNDLES = {
  cli: 'src/cli/main.ts',
  resolver: 'src/agent/resolver-worker.ts',
  'debug-info': 'src/agent/debug-info-worker.ts',
  history: 'src/viewer/history-worker.ts',
  server: 'src/viewer/server-worker.ts',
};
/** Loaded when a configuration asks for it: half of what the commands are otherwise. */
const GRPC = { package: '@grpc/grpc-js', bundle: './grpc.cjs' };
const STAMP = 'build/bundles.stamp';

/**
 * Runs a folder's Makefile, which itself knows what is up to date.
 * @param {string} root
 * @param {string} folder
 * @param {string} what
 */
function make(root, folder, what) {
  const args = ['-C', join(root, folder), `NODE_HEADERS=${nodeHeaders(root)}`];
  const dry = spawnSync('make', ['-q', ...args], { stdio: 'ignore' });
  if (dry.status === 0) return;
  say(`building ${what}`);
  const result = spawnSync('make', ['-s', ...args], { stdio: ['ignore', 2, 2] });
  if (result.status !== 0)
    throw new SetupError(`${what} did not build; see the compiler's words above`);
}

/**
 * @param {string} root
 * @returns {string} hash over everything that can change a bundle
 */
function bundleInputs(root) {
  const hash = createHash('sha256');
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => !file.includes('.test.') && /\.(ts|js|css|html|json)$/.test(file))
    .map((file) => join('src', file))
    .sort();
  for (const file of [...files, 'package-lock.json', 'scripts/build.mjs', 'scripts/build-page.ts'])
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

/** @param {string} root */
async function bundle(root) {
  const entries = Object.entries(BUNDLES).filter(([, file]) => existsSync(join(root, file)));
  const inputs = bundleInputs(root);
  const stamp = join(root, STAMP);
  const products = [...entries.map(([name]) => `${name}.cjs`), 'grpc.cjs', 'page.html'];
  const built = products.every((file) => existsSync(join(root, 'dist', file)));
  if (built && existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs) return;
  say('bundling the commands and the page');
  const { build } = await import('esbuild');
  try {
    /** @type {import('esbuild').BuildOptions} */
    const options = {
      absWorkingDir: root,
      outdir: 'dist',
      bundle: true,
      platform: 'node',
      // An import of one of Node's own modules reads all it exports, and with node:http
      // that loads Node's whole fetch(): as CommonJS each thread starts in half the
      // time and the process is 11 MiB smaller.
      format: 'cjs',
      outExtension: { '.js': '.cjs' },
      target: 'node24',
      legalComments: 'linked',
      logLevel: 'warning',
      define: { 'import.meta.url': 'flametapUrl', 'import.meta.filename': '__filename' },
      banner: {
        js: "const flametapUrl = require('node:url').pathToFileURL(__filename).href;",
      },
    };
    await build({
      ...options,
      entryPoints: Object.fromEntries(entries),
      alias: { [GRPC.package]: GRPC.bundle },
      external: [GRPC.bundle],
    });
    await build({ ...options, entryPoints: { grpc: GRPC.package } });
  } catch {
    throw new SetupError('the bundles did not build; see the messages above');
  }
  const page = spawnSync(join(root, 'build/node'), [join(root, 'scripts/build-page.ts')], {
    stdio: ['ignore', 2, 2],
  });
  if (page.status !== 0) throw new SetupError('the page did not build; see the messages above');
  mkdirSync(join(root, 'build'), { recursive: true });
  writeFileSync(stamp, inputs);
}

/** @param {string} root */
export async function buildAll(root) {
  make(root, 'bpf', 'the BPF object');
  make(root, 'native', 'the native addon');
  await bundle(root);
}
