import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { loadConfig } from './load.ts';
import { Reloader } from './reload.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flametap-reload-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A reloader and what it told. */
function watched(file: string, yaml?: string) {
  if (yaml !== undefined) writeFileSync(file, yaml);
  const load = () => loadConfig({ file, environment: {}, sets: ['log.level=warn'] });
  const told: string[] = [];
  const reloader = new Reloader(file, load(), load, {
    onChange: ({ config }, changed) => told.push(`${changed.join()} hz=${config.capture.hz}`),
    onProblem: ({ problems }) => told.push(`wrong: ${problems[0]?.message}`),
    onSame: () => told.push('same'),
  });
  const looks = (count: number): string[] => {
    for (let i = 0; i < count; i++) reloader.look();
    return told.splice(0);
  };
  // The first look at what was loaded just now.
  assert.deepEqual(looks(2), []);
  return { reloader, looks, told };
}

test('a file written in place is read when it has settled', () => {
  const file = join(folder, 'flametap.yaml');
  const { looks } = watched(file, 'capture: { hz: 1 }');
  writeFileSync(file, 'capture: { hz: 2, max_depth: 7 }');
  assert.deepEqual(looks(1), [], 'it may still be written');
  writeFileSync(file, 'capture: { hz: 34, max_depth: 7 }');
  assert.deepEqual(looks(1), []);
  assert.deepEqual(looks(1), ['capture.hz,capture.max_depth hz=34']);
  assert.deepEqual(looks(3), []);
});

test('a file that another takes the place of is seen', () => {
  const file = join(folder, 'flametap.yaml');
  const { looks } = watched(file, 'capture: { hz: 1 }');
  writeFileSync(`${file}.new`, 'capture: { hz: 2 }');
  renameSync(`${file}.new`, file);
  assert.deepEqual(looks(2), ['capture.hz hz=2']);
});

test('a ConfigMap is seen when Kubernetes swaps its ..data link', () => {
  const version = (name: string, hz: number) => {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'flametap.yaml'), `capture: { hz: ${hz} }`);
    symlinkSync(name, join(folder, '..data_tmp'));
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  };
  version('..2026_11_21_1', 1);
  symlinkSync('..data/flametap.yaml', join(folder, 'flametap.yaml'));
  const { looks } = watched(join(folder, 'flametap.yaml'));
  version('..2026_11_21_2', 2);
  rmSync(join(folder, '..2026_11_21_1'), { recursive: true });
  assert.deepEqual(looks(2), ['capture.hz hz=2']);
});

test('a wrong file is told once and leaves what runs; when it is right again that is told', () => {
  const file = join(folder, 'flametap.yaml');
  const { reloader, looks } = watched(file, 'capture: { hz: 1 }');
  writeFileSync(file, 'capture: { hz: many }');
  assert.deepEqual(looks(5), ["wrong: 'many' is not a whole number from 1 to 10000"]);
  assert.equal(reloader.current.config.capture.hz, 1);
  unlinkSync(file);
  assert.deepEqual(looks(5), ['wrong: there is no such file']);
  writeFileSync(file, 'capture: { hz: 1 }');
  assert.deepEqual(looks(5), ['same']);
});

test('a signal reads the file at once, and always gets an answer', () => {
  const file = join(folder, 'flametap.yaml');
  const { reloader, looks, told } = watched(file, 'capture: { hz: 1 }');
  reloader.reload();
  assert.deepEqual(told.splice(0), ['same']);
  writeFileSync(file, 'capture: { hz: 2 }');
  reloader.reload();
  assert.deepEqual(told.splice(0), ['capture.hz hz=2']);
  assert.deepEqual(looks(3), [], 'it was read already');
  writeFileSync(file, 'capture: [');
  reloader.reload();
  reloader.reload();
  assert.equal(told.splice(0).length, 2);
});

test('what a stronger source says does not change with the file', () => {
  const file = join(folder, 'flametap.yaml');
  const { looks } = watched(file, 'log: { level: info }');
  writeFileSync(file, 'log: { level: debug }');
  assert.deepEqual(looks(3), []);
});

test('exporters and entries of maps that changed are named', () => {
  const file = join(folder, 'flametap.yaml');
  const { looks } = watched(
    file,
    'exporters: [files: { directory: /a }, files: { directory: /b }]',
  );
  writeFileSync(
    file,
    'exporters: [files: { directory: /a }, files: { directory: /c }]\nresource: { attributes: { a: b } }',
  );
  assert.deepEqual(looks(2), ['resource.attributes,exporters.1 hz=99']);
});

test('it looks by itself while it is started', async () => {
  const file = join(folder, 'flametap.yaml');
  writeFileSync(file, 'capture: { hz: 1 }');
  const load = () => loadConfig({ file, environment: {}, sets: [] });
  const changed = Promise.withResolvers<number>();
  const reloader = new Reloader(file, load(), load, {
    onChange: ({ config }) => changed.resolve(config.capture.hz),
    onProblem: changed.reject,
  });
  reloader.start(5);
  // Its own timer does not keep the process.
  const keep = setInterval(() => {}, 1000);
  writeFileSync(file, 'capture: { hz: 2 }');
  assert.equal(await changed.promise, 2);
  reloader.stop();
  clearInterval(keep);
});
