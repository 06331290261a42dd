import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import {
  instructionAddresses,
  openDebugInfo,
  openFile,
  randomAddresses,
} from './debug-files.test-support.ts';
import { compare } from './oracle.test-support.ts';

const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'flametap-dwarf-')));
after(() => rmSync(scratch, { recursive: true, force: true }));
const sources = join(import.meta.dirname, 'testdata');
const TIMEOUT = 120_000;

function run(command: string, args: readonly string[], directory = scratch): void {
  execFileSync(command, args, {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: TIMEOUT,
  });
}

/** A directory for one program: names of .dwo files repeat. */
function directoryFor(name: string): string {
  const directory = join(scratch, name);
  mkdirSync(directory);
  return directory;
}

function build(
  name: string,
  command: string,
  source: string,
  options: readonly string[],
): { directory: string; program: string } {
  const directory = directoryFor(name);
  const program = join(directory, 'program');
  run(command, [...options, '-o', program, join(sources, source)], directory);
  return { directory, program };
}

/** Two units, compiled apart and linked: the main one and one that shares templates with it. */
function buildTwo(
  name: string,
  compiler: string,
  options: readonly string[],
): { directory: string; program: string } {
  const directory = directoryFor(name);
  for (const unit of ['program', 'second']) {
    run(compiler, [...options, '-c', join(sources, `${unit}.cc`), '-o', `${unit}.o`], directory);
  }
  const program = join(directory, 'program');
  run(compiler, [...options, '-o', program, 'program.o', 'second.o'], directory);
  return { directory, program };
}

/** Random addresses and beginnings of instructions, ascending. */
function addressesOf(path: string, seed: number, count = 2500): Float64Array {
  const all = new Set([
    ...randomAddresses(path, seed, count),
    ...instructionAddresses(path, seed, count),
  ]);
  return Float64Array.from(all).sort();
}

/** Every address has the oracle's function, file, line, column, first line and inlined calls. */
function check(
  context: TestContext,
  program: string,
  { reference = program, text = program, minimum = 0.5, inlined = true, count = 2500 } = {},
): void {
  const addresses = addressesOf(text, 2026, count);
  const info = openDebugInfo(program);
  const result = compare(info, reference, addresses);
  context.diagnostic(
    `${result.compared} addresses compared, ${result.covered} with debug information, ` +
      `${result.inlined} inlined frames`,
  );
  assert.deepEqual(result.disagreements.slice(0, 5), []);
  assert.ok(result.covered > minimum * result.compared, `${result.covered} are covered`);
  assert.ok(!inlined || result.inlined > 30, `${result.inlined} inlined frames`);
  assert.deepEqual([...info.problems], []);
}

describe('agreement with llvm-symbolizer', () => {
  for (const version of [2, 3, 4, 5]) {
    for (const compiler of ['gcc', 'clang']) {
      test(`C, ${compiler}, DWARF ${version}`, (context) => {
        const options = ['-O2', `-gdwarf-${version}`];
        const { program } = build(`c-${compiler}-${version}`, compiler, 'program.c', options);
        check(context, program);
      });
    }
  }

  for (const [what, options] of [
    ['strict DWARF 2, whose units have one range', ['-gdwarf-2', '-gstrict-dwarf']],
    ['64-bit DWARF', ['-gdwarf-5', '-gdwarf64']],
    ['64-bit DWARF 3', ['-gdwarf-3', '-gdwarf64']],
    ['not optimised', ['-g3', '-O0']],
    ['hot and cold parts', ['-g', '-freorder-blocks-and-partition', '-ffunction-sections']],
  ] as const) {
    test(`C, gcc, ${what}`, (context) => {
      const name = `c-${what.replaceAll(/\W+/g, '-')}`;
      check(context, build(name, 'gcc', 'program.c', ['-O2', ...options]).program);
    });
  }

  for (const [compiler, ...options] of [
    ['g++', '-O0'],
    ['g++', '-O2'],
    ['g++', '-O3'],
    ['g++', '-O2', '-flto'],
    ['g++', '-O2', '-fdebug-types-section'],
    ['g++', '-O2', '-gdwarf-4', '-fdebug-types-section'],
    ['g++', '-O2', '-ffunction-sections', '-Wl,--gc-sections'],
    ['g++', '-O2', '-ffunction-sections', '-fuse-ld=gold', '-Wl,--gc-sections'],
    ['clang++', '-O2'],
    ['clang++', '-O2', '-gdwarf-4', '-ffunction-sections', '-Wl,--gc-sections'],
  ] as const) {
    test(`C++, ${compiler} ${options.join(' ')}`, (context) => {
      const name = `${compiler}${options.join('')}`.replaceAll(/[^\w+-]/g, '-');
      const { program } = build(name, compiler, 'program.cc', ['-g', ...options]);
      check(context, program, { inlined: !options.some((option) => option === '-O0') });
    });
  }

  test('C++, discarded sections that lld marks with -1', (context) => {
    const options = ['-g', '-O2', '-ffunction-sections', '-fuse-ld=lld', '-Wl,--gc-sections'];
    check(context, build('lld', 'clang++', 'program.cc', options).program);
  });

  test('Rust', (context) => {
    const { program } = build('rust', 'rustc', 'program.rs', ['-Copt-level=3', '-g']);
    check(context, program, { count: 4000 });
  });

  for (const level of ['-O0', '-O2']) {
    test(`D ${level}`, (context) => {
      const { program } = build(`d${level}`, 'gdc', 'program.d', ['-g', level]);
      check(context, program, { inlined: level === '-O2' });
    });
  }

  for (const version of [2, 5]) {
    test(`assembly, DWARF ${version}: lines without functions`, (context) => {
      const { program } = build(`s${version}`, 'gcc', 'lines.s', [`-gdwarf-${version}`]);
      check(context, program, { minimum: 0.01, inlined: false });
    });
  }

  for (const method of ['zlib', 'zlib-gnu', 'zstd']) {
    test(`C++, compressed with ${method}`, (context) => {
      const { directory, program } = compressible();
      const packed = join(directory, method);
      run('objcopy', [`--compress-debug-sections=${method}`, program, packed]);
      check(context, packed, { reference: program });
    });
  }

  test('C++, made small by dwz: partial units', (context) => {
    const { directory, program } = compressible();
    const small = join(directory, 'dwz');
    copyFileSync(program, small);
    run('dwz', [small]);
    check(context, small, { reference: program });
  });

  test('C++, two programs that share a file of common entries', (context) => {
    const { directory, program } = compressible();
    for (const copy of ['one', 'two']) copyFileSync(program, join(directory, copy));
    run('dwz', ['-m', 'common.debug', 'one', 'two'], directory);
    assert.ok(openFile(join(directory, 'one')).section('.gnu_debugaltlink'));
    check(context, join(directory, 'one'), { reference: program });
  });

  let two: { directory: string; program: string } | undefined;
  /** Built once for those that change the debug information afterwards. */
  function compressible(): { directory: string; program: string } {
    two ??= buildTwo('two', 'g++', ['-O2', '-g']);
    return two;
  }
});

describe('split units', () => {
  for (const compiler of ['g++', 'clang++']) {
    for (const version of [4, 5]) {
      // LLVM 14 loses inlined calls of all but one split unit of version 5: its
      // answers come from the same program with its units in one piece.
      const options = ['-O2', `-gdwarf-${version}`];
      const name = `${compiler}-${version}`;

      test(`.dwo files, ${compiler}, DWARF ${version}`, (context) => {
        const whole = buildTwo(`whole-${name}`, compiler, options).program;
        const split = buildTwo(`split-${name}`, compiler, [...options, '-gsplit-dwarf']);
        assert.ok(readdirSync(split.directory).includes('program.dwo'));
        check(context, split.program, { reference: whole });
      });

      // LLVM 14's llvm-dwp does not end when it gets GCC's units of version 5.
      if (compiler === 'g++' && version === 5) continue;
      test(`a package, ${compiler}, DWARF ${version}`, (context) => {
        const whole = join(scratch, `whole-${name}`, 'program');
        const directory = join(scratch, `split-${name}`);
        const program = join(directory, 'program');
        run('llvm-dwp', ['-e', program, '-o', `${program}.dwp`], directory);
        for (const unit of ['program.dwo', 'second.dwo']) rmSync(join(directory, unit));
        check(context, program, { reference: whole });
        rmSync(`${program}.dwp`);
        const info = openDebugInfo(program);
        const lines = info.lookup(addressesOf(program, 3)).filter((chain) => chain !== undefined);
        assert.ok(lines.length > 500, 'lines are in the program itself');
        assert.ok(lines.every(([line, caller]) => line!.name === '' && caller === undefined));
        assert.equal(info.problems.get('split_missing'), 2);
      });
    }
  }
});

describe('debug packages of the distribution', () => {
  for (const [what, path, inlined] of [
    ['libc', '/lib/x86_64-linux-gnu/libc.so.6', true],
    ['libm', '/lib/x86_64-linux-gnu/libm.so.6', true],
    ['the dynamic linker', '/lib64/ld-linux-x86-64.so.2', true],
    ['python3', '/usr/bin/python3', true],
  ] as const) {
    test(what, (context) => {
      const binary = realpathSync(path);
      const id = openFile(binary).buildId;
      const debug = `/usr/lib/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`;
      check(context, debug, { text: binary, minimum: 0.9, inlined, count: 4000 });
    });
  }
});
