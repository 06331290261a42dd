import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, openImage, scratchDirectory } from '../elf/testdata/programs.ts';
import { buildIdPaths } from './paths.ts';
import { processRoot, run, type Searched, searchAll, separate } from './testing.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());
let roots = 0;

function newRoot(): string {
  const root = join(scratch.path, `root${roots++}`);
  mkdirSync(root);
  return root;
}

function put(root: string, path: string, file: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  copyFileSync(file, join(root, path));
}

async function using(root: string, path: string, check: (found: Searched) => void): Promise<void> {
  const found = await searchAll(join(root, path), path, processRoot(root));
  try {
    check(found);
  } finally {
    found.search.close();
  }
}

/** The candidate with DWARF. */
const best = ({ candidates }: Searched) => candidates.find(({ sections }) => sections)!;

const TYPES = Array.from(
  { length: 60 },
  (_, i) => `struct shared_type_${i} { int m_${i}; } v_${i};`,
);

describe('supplements', () => {
  for (const option of ['--dwarf-5', '']) {
    test(`the file that dwz ${option} made is found beside, by absolute path and by build id`, async () => {
      const programs = ['a', 'b'].map((name) => {
        const text = [...TYPES, `int main(void) { return sizeof "${name}"; }`].join('\n');
        return compile(scratch.path, name, text, ['-g', '-gdwarf-5', '-Wl,--build-id']);
      });
      const common = join(scratch.path, 'common');
      const options = option === '' ? [] : [option];
      run('dwz', ...options, '-m', common, '-M', '../.dwz/common', ...programs);
      const places = [
        '/opt/.dwz/common',
        buildIdPaths(openImage(common).buildId || 'ffffffff')[0]!,
      ];
      for (const place of places) {
        // In DWARF 5 the checksum is no build id.
        if (option !== '' && place !== places[0]) continue;
        const root = newRoot();
        put(root, '/opt/bin/a', programs[0]!);
        put(root, place, common);
        await using(root, '/opt/bin/a', (found) => {
          const size = openImage(common).section('.debug_str')!.size;
          assert.equal(best(found).companions.supplement()?.section('.debug_str')?.size, size);
          assert.deepEqual(found.problems, {});
        });
      }
    });

    test(`another file in its place (dwz ${option}) is counted and not taken`, async () => {
      const root = newRoot();
      put(root, '/opt/bin/a', join(scratch.path, 'a'));
      put(root, '/opt/.dwz/common', join(scratch.path, 'b'));
      await using(root, '/opt/bin/a', (found) => {
        assert.equal(best(found).companions.supplement(), undefined);
        assert.equal(found.problems.debug_supplement_id, 1);
        assert.equal(found.problems.debug_supplement_missing, 1);
      });
    });
  }

  test('a link in .build-id does not hide the place that the supplement is relative to', async () => {
    const root = newRoot();
    const program = join(scratch.path, 'a');
    put(root, '/opt/bin/a', program);
    const place = join(root, buildIdPaths(openImage(program).buildId)[0]!);
    separate(join(root, '/opt/bin/a'), join(root, '/usr/lib/debug/opt/a.debug'));
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync('../../opt/a.debug', place);
    put(root, '/usr/lib/debug/.dwz/common', join(scratch.path, 'common'));
    await using(root, '/opt/bin/a', (found) => {
      assert.equal(best(found).kind, 'separate');
      assert.ok(best(found).companions.supplement());
    });
  });

  test('a separate debug file has its own place to start from', async () => {
    const root = newRoot();
    const program = join(scratch.path, 'a');
    put(root, '/opt/bin/a', program);
    const place = buildIdPaths(openImage(program).buildId)[0]!;
    separate(join(root, '/opt/bin/a'), join(root, place));
    put(root, '/usr/lib/debug/.build-id/.dwz/common', join(scratch.path, 'common'));
    await using(root, '/opt/bin/a', (found) => {
      assert.equal(best(found).kind, 'separate');
      assert.ok(best(found).companions.supplement());
    });
  });
});

describe('split debug information', () => {
  const unit = (name: string, compilationDirectory: string) => ({
    name,
    compilationDirectory,
    id: 1n,
  });
  let program: string;
  let split: string;

  before(() => {
    const source = join(scratch.path, 'split.c');
    writeFileSync(source, `${TYPES.join('\n')}\nint main(void) { return 0; }`);
    program = join(scratch.path, 'split');
    const object = join(scratch.path, 'split.o');
    run('gcc', '-g', '-gdwarf-5', '-gsplit-dwarf', '-c', '-o', object, source);
    run('gcc', '-o', program, object);
    split = join(scratch.path, 'split.dwo');
  });

  for (const [place, name] of [
    ['/build/out/split.dwo', 'out/split.dwo'],
    ['/elsewhere/split.dwo', '/elsewhere/split.dwo'],
    ['/opt/bin/split.dwo', '/build/out/split.dwo'],
    ['/opt/bin/out/split.dwo', 'out/split.dwo'],
  ]) {
    test(`the file called ${name} is found at ${place}`, async () => {
      const root = newRoot();
      put(root, '/opt/bin/split', program);
      put(root, place!, split);
      await using(root, '/opt/bin/split', (found) => {
        const sections = best(found).companions.split(unit(name!, '/build'));
        assert.equal(
          sections?.section('.debug_info.dwo')?.size,
          openImage(split).section('.debug_info.dwo')!.size,
        );
        assert.equal(best(found).companions.split(unit(name!, '/build')), sections);
      });
    });
  }

  test('missing and foreign ones are counted once', async () => {
    const root = newRoot();
    put(root, '/opt/bin/split', program);
    put(root, '/opt/bin/split.dwo', program);
    await using(root, '/opt/bin/split', ({ search, candidates }) => {
      const { companions } = candidates[0]!;
      for (let i = 0; i < 3; i++) {
        assert.equal(companions.split(unit('split.dwo', '/build')), undefined);
        assert.equal(companions.split(unit('missing.dwo', '/build')), undefined);
      }
      assert.deepEqual(Object.fromEntries(search.problems), {
        debug_split: 1,
        debug_split_missing: 2,
      });
    });
  });

  test('compressed ones are decompressed', async () => {
    const root = newRoot();
    put(root, '/opt/bin/split', program);
    put(root, '/opt/bin/split.dwo', split);
    run('objcopy', '--compress-debug-sections=zlib', join(root, '/opt/bin/split.dwo'));
    await using(root, '/opt/bin/split', (found) => {
      const sections = best(found).companions.split(unit('split.dwo', '/'));
      const { size } = openImage(split).section('.debug_info.dwo')!;
      assert.equal(sections?.section('.debug_info.dwo')?.size, size);
    });
  });

  for (const [place, separated] of [
    ['/opt/bin/split.dwp', false],
    ['/usr/lib/debug/opt/bin/split.debug.dwp', true],
    ['/usr/lib/debug/opt/bin/split.dwp', true],
  ] as const) {
    test(`the package is found at ${place}`, async () => {
      const root = newRoot();
      put(root, '/opt/bin/split', program);
      run('dwp', '-o', join(scratch.path, 'package'), split);
      if (separated)
        separate(join(root, '/opt/bin/split'), join(root, '/usr/lib/debug/opt/bin/split.debug'));
      put(root, place, join(scratch.path, 'package'));
      await using(root, '/opt/bin/split', (found) => {
        assert.ok(best(found).companions.package()?.section('.debug_cu_index'));
        assert.deepEqual(found.problems, {});
      });
    });
  }

  test('a file of that name that is no package is counted', async () => {
    const root = newRoot();
    put(root, '/opt/bin/split', program);
    put(root, '/opt/bin/split.dwp', program);
    await using(root, '/opt/bin/split', (found) => {
      assert.equal(best(found).companions.package(), undefined);
      assert.deepEqual(found.problems, { debug_package: 1 });
    });
  });
});
