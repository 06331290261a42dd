import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { scratchDirectory } from '../elf/testdata/programs.ts';
import { DebugCache, defaultCacheFolder } from './debug-cache.ts';
import { linkFile } from './testing.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());
let folders = 0;
const newFolder = (): string => join(scratch.path, `cache${folders++}`);
const LIMITS = { bytes: 1000, unnamedBytes: 1000, marks: 10 };
const OTHER_USER = 65534;

function put(cache: DebugCache, buildId: string, size: number): void {
  const part = cache.begin();
  writeSync(part.fd, Buffer.alloc(size, buildId));
  cache.commit(part, buildId);
}

function read(cache: DebugCache, buildId: string): string | undefined {
  const fd = cache.open(buildId);
  if (fd === undefined) return undefined;
  const text = readFileSync(fd, 'latin1');
  closeSync(fd);
  return text;
}

describe('cache of debug files', () => {
  test('what was put in is there, for the next agent too; nobody else can read the folder', () => {
    const folder = join(newFolder(), 'made', 'too');
    const first = new DebugCache(folder, linkFile);
    assert.equal(first.warning, '');
    assert.equal(read(first, 'aa11'), undefined);
    put(first, 'aa11', 8);
    first.close();
    const second = new DebugCache(folder, linkFile);
    assert.equal(read(second, 'aa11'), 'aa11aa11');
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    second.remove('aa11');
    assert.equal(read(second, 'aa11'), undefined);
    second.close();
  });

  test('below its limit it keeps those that were used last', () => {
    // Ahead of the machine's time, which the files have until they are used.
    let now = 2_000_000_000;
    const cache = new DebugCache(newFolder(), linkFile, LIMITS, () => now++ * 1000);
    for (const name of ['a1', 'b2', 'c3']) {
      put(cache, name, 300);
      assert.ok(read(cache, name));
    }
    assert.ok(read(cache, 'a1'));
    put(cache, 'd4', 300);
    assert.deepEqual(
      ['a1', 'b2', 'c3', 'd4'].map((name) => read(cache, name) !== undefined),
      [true, false, true, true],
    );
    put(cache, 'e5', 900);
    assert.deepEqual(
      ['a1', 'c3', 'd4', 'e5'].map((name) => read(cache, name) !== undefined),
      [false, false, false, true],
    );
    cache.close();
  });

  test('half a file is never found, and what a dead agent left is removed in time', () => {
    const folder = newFolder();
    const cache = new DebugCache(folder, linkFile);
    const part = cache.begin();
    writeSync(part.fd, 'half');
    assert.equal(read(cache, 'aa11'), undefined);
    cache.abandon(part);
    assert.deepEqual(readdirSync(folder), []);
    const [old, young] = ['old.part', 'young.part'].map((name) => join(folder, name));
    for (const path of [old!, young!]) writeFileSync(path, 'half');
    utimesSync(old!, 1, 1);
    new DebugCache(folder, linkFile).close();
    assert.deepEqual(readdirSync(folder), ['young.part'], 'removed at opening');
    utimesSync(young!, 1, 1);
    put(cache, 'bb22', 4);
    assert.deepEqual(readdirSync(folder), ['bb22.debug']);
    cache.close();
  });

  test('an agent that is killed during downloads leaves nothing of them', () => {
    const folder = newFolder();
    const cache = new DebugCache(folder, linkFile);
    const script = `
      import { writeSync } from 'node:fs';
      import { DebugCache } from '${import.meta.dirname}/debug-cache.ts';
      import { linkFile } from '${import.meta.dirname}/testing.ts';
      const cache = new DebugCache(process.env.FOLDER, linkFile);
      for (let i = 0; i < 2; i++) writeSync(cache.begin().fd, 'half');
      cache.commit(cache.begin(), 'aa11');`;
    const env = { ...process.env, FOLDER: folder };
    const code = `${script}\nprocess.kill(process.pid, 'SIGKILL');`;
    const killed = spawnSync(process.execPath, ['--input-type=module', '-e', code], { env });
    assert.equal(killed.signal, 'SIGKILL', killed.stderr.toString());
    assert.deepEqual(readdirSync(folder), ['aa11.debug']);
    cache.close();
  });

  for (const [where, newCache] of [
    ['in its folder', () => new DebugCache(newFolder(), linkFile, LIMITS)],
    ['without a folder', () => new DebugCache('/proc/none', linkFile, LIMITS)],
  ] as const) {
    test(`what is being downloaded counts: others make room, and together it stays below the limit, ${where}`, () => {
      const cache = newCache();
      const kept = () => ['a1', 'b2', 'c3'].filter((name) => read(cache, name) !== undefined);
      for (const name of ['a1', 'b2', 'c3']) put(cache, name, 300);
      const [first, second] = [cache.begin(), cache.begin()];
      cache.grow(first, 50);
      assert.equal(kept().length, 3);
      cache.grow(first, 200);
      assert.equal(kept().length, 2);
      cache.grow(second, 400);
      assert.equal(kept().length, 1);
      assert.throws(() => cache.grow(second, 801), /1000 bytes/);
      cache.grow(second, 800);
      assert.equal(kept().length, 0);
      cache.abandon(second);
      put(cache, 'a1', 700);
      assert.deepEqual(kept(), ['a1']);
      cache.grow(first, 999);
      assert.deepEqual(kept(), []);
      cache.abandon(first);
      cache.close();
    });
  }

  test('marks last until their time, also for the next agent, and no longer', () => {
    const folder = newFolder();
    let now = 1_800_000_000_000;
    const caches = [
      new DebugCache(folder, linkFile, LIMITS, () => now),
      new DebugCache(folder, linkFile, LIMITS, () => now),
    ];
    caches[0]!.mark('aa11', now + 60_000);
    for (const cache of caches) assert.ok(cache.isMarked('aa11'));
    assert.ok(!caches[1]!.isMarked('bb22'));
    now += 59_000;
    for (const cache of caches) assert.ok(cache.isMarked('aa11'));
    now += 2_000;
    for (const cache of caches) assert.ok(!cache.isMarked('aa11'));
    // Set by a clock that was years ahead.
    caches[0]!.mark('cc33', now + 1e11);
    for (const cache of caches) assert.ok(!cache.isMarked('cc33'));
    for (const cache of caches) cache.close();
  });

  test('marks are limited in number', () => {
    const folder = newFolder();
    const cache = new DebugCache(folder, linkFile, LIMITS);
    for (let i = 0; i < 50; i++) cache.mark(`m${i}`, Date.now() + 60_000 + i * 1000);
    put(cache, 'aa11', 4);
    assert.equal(
      readdirSync(folder).filter((name) => name.endsWith('.until')).length,
      LIMITS.marks,
    );
    assert.ok(cache.isMarked('m49'));
    cache.close();
  });

  test('a folder that others own or can write to is not used, and what is kept instead has no name', () => {
    const cases: [string, (folder: string) => void][] = [
      ['of another user', (folder) => chownSync(folder, OTHER_USER, OTHER_USER)],
      ['writable by all', (folder) => chmodSync(folder, 0o777)],
      ['a file', (folder) => renameSync(folder, `${folder}.away`) ?? writeFileSync(folder, '')],
      [
        'a link',
        (folder) => renameSync(folder, `${folder}.away`) ?? symlinkSync(`${folder}.away`, folder),
      ],
      [
        'in the folder of another user',
        (folder) => chownSync(join(folder, '..'), OTHER_USER, OTHER_USER),
      ],
    ];
    for (const [what, change] of cases) {
      const folder = join(newFolder(), 'debuginfo');
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      change(folder);
      const cache = new DebugCache(folder, linkFile, LIMITS);
      assert.notEqual(cache.warning, '', what);
      put(cache, 'aa11', 400);
      put(cache, 'bb22', 400);
      assert.equal(read(cache, 'aa11')?.length, 400, what);
      put(cache, 'cc33', 400);
      assert.deepEqual(
        ['aa11', 'bb22', 'cc33'].map((name) => read(cache, name) !== undefined),
        [false, true, true],
        what,
      );
      cache.mark('dd44', Date.now() + 1000);
      assert.ok(cache.isMarked('dd44'));
      for (const each of [folder, `${folder}.away`]) {
        if (existsSync(each) && statSync(each).isDirectory())
          assert.deepEqual(readdirSync(each), []);
      }
      cache.close();
    }
  });

  test('whoever replaces the folder meanwhile does not get our files', () => {
    const folder = newFolder();
    const cache = new DebugCache(folder, linkFile, LIMITS);
    renameSync(folder, `${folder}.away`);
    mkdirSync(`${folder}.other`);
    symlinkSync(`${folder}.other`, folder);
    put(cache, 'aa11', 4);
    assert.deepEqual(readdirSync(`${folder}.other`), []);
    assert.deepEqual(readdirSync(`${folder}.away`), ['aa11.debug']);
    cache.close();
  });

  test('a folder that is removed meanwhile costs a download, and no more', () => {
    const folder = newFolder();
    const cache = new DebugCache(folder, linkFile, LIMITS);
    put(cache, 'aa11', 4);
    renameSync(join(folder, 'aa11.debug'), join(scratch.path, 'gone'));
    assert.equal(read(cache, 'aa11'), undefined);
    cache.mark('bb22', Date.now() + 1000);
    assert.ok(cache.isMarked('bb22'));
    cache.close();
  });

  test('its usual place follows the XDG base directories', () => {
    assert.equal(defaultCacheFolder({ XDG_CACHE_HOME: '/x', HOME: '/h' }), '/x/flametap/debuginfo');
    for (const ignored of ['', 'relative'])
      assert.equal(
        defaultCacheFolder({ XDG_CACHE_HOME: ignored, HOME: '/h' }),
        '/h/.cache/flametap/debuginfo',
      );
    assert.match(defaultCacheFolder({}), /^\/.*\/\.cache\/flametap\/debuginfo$/);
  });
});
