import assert from 'node:assert/strict';
import {
  appendFileSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { loadAddon } from '../capture/addon.ts';
import { FileSource } from '../elf/file-source.ts';
import { ElfImage } from '../elf/image.ts';
import { compile, openImage, scratchDirectory } from '../elf/testdata/programs.ts';
import { LiveHost } from '../process/host.ts';
import { PATIENT_WAIT_LIMITS } from '../process/wait-budget.ts';
import { type DebugSearch, mayHaveDebugInformation } from './debug-search.ts';
import { FileRoots } from './file-roots.ts';
import { buildIdPaths, debugLinkPaths } from './paths.ts';
import { hostRoot, processRoot, run, searchAll, separate } from './testing.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());
const SOURCE = 'int twice(int x) { return 2 * x; } int main(int n, char **v) { return twice(n); }';
let roots = 0;

/** A root with the program at a path, debug information still inside. */
function rootWith(path: string, ...options: string[]): { root: string; program: string } {
  const root = join(scratch.path, `root${roots++}`);
  const program = join(root, path);
  mkdirSync(dirname(program), { recursive: true });
  copyFileSync(compile(scratch.path, 'program', SOURCE, ['-g', ...options]), program);
  return { root, program };
}

async function search(root: string, path: string) {
  const found = await searchAll(join(root, path), path, processRoot(root));
  found.search.close();
  return found;
}

/** Size of the DWARF of each candidate by kind; 0 = it has none. */
const dwarf = ({ candidates }: Awaited<ReturnType<typeof search>>) =>
  candidates.map(({ kind, sections }) => [kind, sections?.section('.debug_info')?.size ?? 0]);

function infoSize(file: string): number {
  const section = openImage(file).section('.debug_info');
  assert.ok(section !== undefined && section.size > 0);
  return section.size;
}

describe('search for debug information', () => {
  test('DWARF in the program itself comes first', async () => {
    const { root, program } = rootWith('/opt/program');
    assert.deepEqual(dwarf(await search(root, '/opt/program')), [['symbols', infoSize(program)]]);
  });

  test('the debug file of the build id is found, in the root of the process', async () => {
    const { root, program } = rootWith('/usr/bin/program', '-Wl,--build-id');
    const size = infoSize(program);
    const [place] = buildIdPaths(openImage(program).buildId);
    separate(program, join(root, place!));
    run('objcopy', '--remove-section=.gnu_debuglink', program);
    const found = await search(root, '/usr/bin/program');
    assert.deepEqual(dwarf(found), [
      ['symbols', 0],
      ['separate', size],
    ]);
    assert.deepEqual(found.problems, {});
  });

  for (const place of [
    '/lib/x/program.debug',
    '/lib/x/.debug/program.debug',
    '/usr/lib/debug/lib/x/program.debug',
    '/usr/lib/debug/usr/lib/x/program.debug',
  ]) {
    test(`the debug link of /lib/x/program is followed to ${place}`, async () => {
      const { root, program } = rootWith('/lib/x/program', '-Wl,--build-id=none');
      const size = infoSize(program);
      separate(program, join(root, place));
      const found = await search(root, '/lib/x/program');
      assert.deepEqual(dwarf(found), [
        ['symbols', 0],
        ['separate', size],
      ]);
      assert.deepEqual(found.problems, {});
    });
  }

  test('a file with another checksum or build id is counted and the next place tried', async () => {
    const { root, program } = rootWith('/usr/bin/program', '-Wl,--build-id=0x0102030405060708');
    const size = infoSize(program);
    const other = rootWith('/other', '-Wl,--build-id=0x1112131415161718').program;
    const same = rootWith('/same', '-Wl,--build-id=0x0102030405060708').program;
    appendFileSync(same, 'changed');
    separate(program, join(root, '/usr/lib/debug/usr/bin/program.debug'));
    for (const [file, place] of [
      [other, buildIdPaths('0102030405060708')[0]!],
      [other, '/usr/bin/program.debug'],
      [same, '/usr/bin/.debug/program.debug'],
    ] as const) {
      mkdirSync(dirname(join(root, place)), { recursive: true });
      copyFileSync(file, join(root, place));
    }
    const found = await search(root, '/usr/bin/program');
    assert.deepEqual(dwarf(found), [
      ['symbols', 0],
      ['separate', size],
    ]);
    assert.deepEqual(found.problems, { debug_file_build_id: 2, debug_link_crc: 1 });
  });

  test('what is no ELF file, cut off or unreadable is counted, and never thrown', async () => {
    const { root, program } = rootWith('/usr/bin/program', '-Wl,--build-id=0x0102030405060708');
    const whole = readFileSync(program);
    separate(program, join(root, 'unused/program.debug'));
    const [place] = buildIdPaths('0102030405060708');
    mkdirSync(dirname(join(root, place!)), { recursive: true });
    writeFileSync(join(root, place!), whole.subarray(0, 100));
    writeFileSync(join(root, '/usr/bin/program.debug'), 'x'.repeat(1000));
    mkdirSync(join(root, '/usr/bin/.debug/program.debug'), { recursive: true });
    const found = await search(root, '/usr/bin/program');
    assert.deepEqual(dwarf(found), [['symbols', 0]]);
    assert.deepEqual(found.problems, { debug_file_not_regular: 1, elf_segments: 1, not_elf: 1 });
  });

  test('a file that is too much to be summed costs nothing, and the next place is tried', async () => {
    const { root, program } = rootWith('/usr/bin/program', '-Wl,--build-id=none');
    const size = infoSize(program);
    separate(program, join(root, '/usr/bin/.debug/program.debug'));
    const sparse = join(root, '/usr/bin/program.debug');
    copyFileSync(join(root, '/usr/bin/.debug/program.debug'), sparse);
    truncateSync(sparse, 4 * 2 ** 30);
    const begun = process.cpuUsage();
    const found = await search(root, '/usr/bin/program');
    assert.ok(process.cpuUsage(begun).user + process.cpuUsage(begun).system < 500_000);
    assert.deepEqual(dwarf(found).at(-1), ['separate', size]);
    assert.deepEqual(found.problems, { debug_link_too_big: 1 });
  });

  test('summing takes no longer than its time', async () => {
    const { root, program } = rootWith('/usr/bin/program', '-Wl,--build-id=none');
    separate(program, join(root, '/usr/bin/program.debug'));
    const checksum = { bytes: 2 ** 30, ms: -1 };
    const found = await searchAll(program, '/usr/bin/program', processRoot(root), undefined, {
      checksum,
    });
    found.search.close();
    assert.deepEqual(dwarf(found), [['symbols', 0]]);
    assert.deepEqual(found.problems, { debug_link_time: 1 });
  });

  test('where summing is too much an equal build id does', async () => {
    const { root, program } = rootWith('/usr/bin/program', '-Wl,--build-id=0x0102030405060708');
    const size = infoSize(program);
    separate(program, join(root, '/usr/bin/program.debug'));
    const checksum = { bytes: 1, ms: 1000 };
    const found = await searchAll(program, '/usr/bin/program', processRoot(root), undefined, {
      checksum,
    });
    found.search.close();
    assert.deepEqual(dwarf(found).at(-1), ['separate', size]);
    assert.deepEqual(found.problems, {});
  });

  test('sources are announced before they are read, and left alone where that is wanted', async () => {
    const { root, program } = rootWith('/usr/bin/program', '-Wl,--build-id=none');
    separate(program, join(root, '/usr/bin/program.debug'));
    copyFileSync(join(root, '/usr/bin/program.debug'), join(root, '/usr/bin/second'));
    mkdirSync(join(root, '/usr/bin/.debug'));
    copyFileSync(join(root, '/usr/bin/second'), join(root, '/usr/bin/.debug/program.debug'));
    const [skipped, trusted] = [new Set<string>(), new Set<string>()];
    const summed: string[] = [];
    const sources = async () => {
      const begun: string[] = [];
      const watch = {
        skipped,
        trusted,
        begins: (source: string) => void begun.push(source),
        summed: (source: string, outcome: string) => void summed.push(source, outcome),
      };
      const found = await searchAll(
        program,
        '/usr/bin/program',
        processRoot(root),
        undefined,
        {},
        watch,
      );
      found.search.close();
      const used = found.candidates.map(({ source }) => source);
      assert.deepEqual(begun.slice(-2), ['debuginfod', 'debugdata']);
      return { used, begun: begun.slice(0, -2) };
    };
    const { used: all, begun } = await sources();
    assert.deepEqual(begun, all);
    assert.equal(all.length, 3);
    assert.deepEqual(summed.splice(0), [all[1], 'right', all[2], 'right']);
    trusted.add(all[2]!);
    skipped.add(all[1]!);
    assert.deepEqual((await sources()).used, [all[0], all[2]]);
    assert.deepEqual(summed, [], 'what is trusted is not summed again');
    skipped.add('own');
    assert.deepEqual((await sources()).used, [all[2]]);
    appendFileSync(join(root, '/usr/bin/.debug/program.debug'), 'changed');
    const changed = await sources();
    assert.deepEqual([changed.used, changed.begun.length], [[], 1]);
    assert.deepEqual(summed, [changed.begun[0], 'wrong'], 'a changed file is another one');
  });

  test('a FIFO, a folder and an empty file are worth a search, which counts them', async () => {
    const { root, program } = rootWith('/usr/bin/program', '-Wl,--build-id=none');
    separate(program, join(root, 'unused/program.debug'));
    const image = ElfImage.parse(new FileSource(openSync(program, 'r')));
    const places = debugLinkPaths('/usr/bin/program', 'program.debug').map((at) => join(root, at));
    const worth = (roots: FileRoots) => mayHaveDebugInformation(image, program, roots, false);
    assert.equal(worth(processRoot(root)), false);
    for (const place of places) mkdirSync(dirname(place), { recursive: true });
    run('mkfifo', `${program}.debug`);
    mkdirSync(places[1]!);
    writeFileSync(places[2]!, '');
    // As the host does: the real opening of a FIFO would wait for a writer.
    assert.equal(worth(hostRoot()), true);
    const { problems, search } = await searchAll(program, program, hostRoot());
    search.close();
    assert.deepEqual(problems, { debug_file_not_regular: 2 });
    const inRoot = await searchAll(program, '/usr/lib/program', processRoot(root));
    inRoot.search.close();
    assert.deepEqual(inRoot.problems, {});
    const host = new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS);
    const roots = new FileRoots(host, [openSync(root, 'r')]);
    const found = await searchAll(program, '/usr/bin/program', roots);
    found.search.close();
    assert.deepEqual(found.problems, { debug_file_not_regular: 2, debug_file_too_short: 1 });
  });

  test('after the root of the process the host is looked at', async () => {
    const { root, program } = rootWith('/program', '-Wl,--build-id=none');
    const size = infoSize(program);
    // To the host the path is that of the scratch folder.
    separate(program, join(root, '.debug/program.debug'));
    const found = await searchAll(program, program, processRoot('/nowhere'));
    found.search.close();
    assert.deepEqual(dwarf(found).at(-1), ['separate', size]);
    const alone = await searchAll(program, program, hostRoot());
    alone.search.close();
    assert.deepEqual(dwarf(alone).at(-1), ['separate', size]);
  });

  test("debug files of others than root and the program's owner name nothing", async () => {
    const { root, program } = rootWith('/usr/bin/program', '-Wl,--build-id=0x0102030405060708');
    const debug = join(root, 'usr/lib/debug/.build-id/01/02030405060708.debug');
    const size = infoSize(program);
    separate(program, debug);
    const live = new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS);
    const found = async (owner: number, binaryOwner: number) => {
      chownSync(debug, owner, owner);
      const roots = new FileRoots(live, [openSync(root, 'r')], binaryOwner);
      const { search, candidates, problems } = await searchAll(program, '/usr/bin/program', roots);
      search.close();
      const isFound = dwarf({ search, candidates, problems }).some(([, length]) => length === size);
      return [isFound, problems.debug_file_of_another_user];
    };
    assert.deepEqual(await found(0, 0), [true, undefined]);
    assert.deepEqual(await found(0, 1000), [true, undefined]);
    assert.deepEqual(await found(1000, 1000), [true, undefined]);
    assert.deepEqual(await found(65_534, 0), [false, 1]);
    assert.deepEqual(await found(65_534, 1000), [false, 1]);
  });

  test('a stripped program without anything anywhere is not worth a search', () => {
    const { root, program } = rootWith('/usr/bin/program', '-Wl,--build-id=0x0102030405060708');
    const worth = (hasServers = false) =>
      mayHaveDebugInformation(
        ElfImage.parse(new FileSource(openSync(program, 'r'))),
        '/usr/bin/program',
        processRoot(root),
        hasServers,
      );
    assert.equal(worth(), true, 'it has DWARF itself');
    separate(program, join(root, 'elsewhere/program.debug'));
    assert.equal(worth(), false);
    assert.equal(worth(true), true, 'servers may have something');
    for (const place of [
      buildIdPaths('0102030405060708')[0]!,
      '/usr/lib/debug/usr/bin/program.debug',
    ]) {
      const file = join(root, place);
      mkdirSync(dirname(file), { recursive: true });
      copyFileSync(program, file);
      assert.equal(worth(), true, place);
      run('rm', file);
      assert.equal(worth(), false);
    }
  });

  test('everything that was opened is closed', async () => {
    const { root, program } = rootWith('/usr/bin/program', '-Wl,--build-id');
    separate(
      program,
      join(root, buildIdPaths(openImage(program).buildId)[0]!),
      '--compress-debug-sections',
    );
    const openFiles = () =>
      readdirSync('/proc/self/fd').flatMap((fd) => {
        try {
          return [readlinkSync(`/proc/self/fd/${fd}`)].filter((file) => file.includes(root));
        } catch {
          return [];
        }
      });
    const fd = openSync(program, 'r');
    const before = openFiles();
    const searches: DebugSearch[] = [];
    for (let i = 0; i < 3; i++) {
      searches.push((await searchAll(program, '/usr/bin/program', processRoot(root))).search);
    }
    assert.ok(openFiles().length > before.length);
    for (const each of searches) each.close();
    // searchAll() opens the program for each search.
    assert.equal(openFiles().length, before.length + 3);
    assert.ok(fd > 0);
  });
});

describe('places of debug files', () => {
  test('merged folders are looked for under both names', () => {
    for (const folder of ['/lib/x', '/usr/lib/x']) {
      assert.deepEqual(debugLinkPaths(`${folder}/a`, 'a.debug').slice(2).sort(), [
        '/usr/lib/debug/lib/x/a.debug',
        '/usr/lib/debug/usr/lib/x/a.debug',
      ]);
    }
    assert.equal(debugLinkPaths('/opt/x/a', 'a.debug').length, 3);
  });
});
