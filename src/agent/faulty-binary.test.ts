import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { mayHaveDebugInformation } from '../debuginfo/debug-search.ts';
import { FileRoots } from '../debuginfo/file-roots.ts';
import { isFileFailure } from '../elf/failure.ts';
import { DeadFileSystem, directAccess, type FileAccess } from '../elf/file-access.ts';
import { GoPages } from '../elf/go-pages.ts';
import { buildGoSelf } from '../elf/go-testing.ts';
import { ParseError } from '../elf/source.ts';
import { compile, scratchDirectory } from '../elf/testdata/programs.ts';
import type { ProcessHost } from '../process/host.ts';
import { parseMaps } from '../process/maps.ts';
import { OpenFiles } from '../process/open-files.ts';
import { RootDirectories } from '../process/root-directories.ts';
import { noDemangler } from '../symbolize/demangle.ts';
import { hostPid, textOffset, virtualAddress } from '../units/units.ts';
import { MAX_TEXT_READ } from '../unwind/file-tables.ts';
import { nowhere } from '../unwind/map-writer.ts';
import { TableStore } from '../unwind/table-store.ts';
import { Binary, type SharedByBinaries } from './binary.ts';
import { DebugInfoNames } from './debug-info-names.ts';
import { SymbolRoom } from './symbol-room.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());

/** What goes wrong from the nth access on. */
const FAULTS = {
  EIO: () => {
    throw Object.assign(new Error('EIO'), { code: 'EIO' });
  },
  ESTALE: () => {
    throw Object.assign(new Error('ESTALE'), { code: 'ESTALE' });
  },
  dead: () => {
    throw new DeadFileSystem('it does not answer');
  },
  shorter: () => 'shorter' as const,
  written: () => 'written' as const,
};
type Fault = keyof typeof FAULTS;
const REASONS: Readonly<Record<Fault, string>> = {
  EIO: 'read_failed',
  ESTALE: 'file_stale',
  dead: 'file_system_dead',
  shorter: 'file_changed',
  written: 'file_changed',
};

/** A file system that works for so many calls. */
class FaultyFiles implements FileAccess {
  calls = 0;
  readonly #fault: Fault;
  readonly #good: number;

  constructor(fault: Fault, good: number) {
    this.#fault = fault;
    this.#good = good;
  }

  get hasFailed(): boolean {
    return this.calls > this.#good;
  }

  state(fd: number) {
    const state = directAccess.state(fd);
    const fault = this.#now();
    if (fault === 'shorter') return { ...state, size: Math.floor(state.size / 2), changedNs: 1n };
    return fault === 'written' ? { ...state, modifiedNs: 1n, changedNs: 1n } : state;
  }

  read(fd: number, into: Uint8Array, position: number): number {
    const fault = this.#now();
    const count = directAccess.read(fd, into, position);
    if (fault === 'written') into.fill(0xa5);
    return fault === 'shorter' ? Math.floor(count / 2) : count;
  }

  reopen(fd: number): number {
    this.#now();
    return directAccess.reopen(fd);
  }

  close(fd: number): void {
    directAccess.close(fd);
  }

  #now(): ReturnType<(typeof FAULTS)[Fault]> | undefined {
    return ++this.calls > this.#good ? FAULTS[this.#fault]() : undefined;
  }
}

/** What is written before a file is looked at is its contents. */
const firstOf = (fault: Fault): number => (fault === 'shorter' || fault === 'written' ? 1 : 0);

const maps = { processes: -1, mappings: -1, files: -1, tables: -1, nodeLayouts: -1 };
const sizes = { mappingCount: 1 << 16, fileCount: 1 << 10, tableCount: 1 << 20 };

/** Asks all that is asked of a binary. @returns what it said, and why it is no use any more */
function drill(path: string, files: FaultyFiles) {
  const host = {
    files,
    openMapped: () => openSync(path, 'r'),
    userIds: () => [0],
    openOnHost: () => {
      throw new Error('there is none');
    },
  } as unknown as ProcessHost;
  const open = new OpenFiles(host);
  const [raw] = parseMaps(`10000-11000 r-xp 0 0:0 1 ${path}\n`).mappings;
  const { outcome } = open.open(hostPid(1), raw!);
  if ('reason' in outcome) return { said: [], failure: outcome.reason, told: 1 };
  const { image } = outcome;
  let told = 0;
  const owner = { name: 'user 1000', isUser: true };
  const shared: SharedByBinaries = {
    store: new TableStore({ ...maps, ...sizes }, nowhere),
    demangle: noDemangler,
    goPages: new GoPages(1 << 20),
    text: new Uint8Array(MAX_TEXT_READ),
    roots: new RootDirectories({ files, openRoot: () => undefined, userIds: () => undefined }),
    failed: () => told++,
    mayHaveDebugInfo: (of, at, roots) =>
      mayHaveDebugInformation(of, at, new FileRoots(host, roots), false),
    symbols: new SymbolRoom(),
  };
  const binary = new Binary(outcome, shared, owner);
  const said: unknown[] = [];
  // Nobody counts on what it says while it fails, or later.
  const say = (...answers: unknown[]) => {
    if (binary.failure === undefined) said.push(...answers);
  };
  const step = Math.max(16, Math.floor(image.textSize / 40));
  for (let at = 0; at < image.textSize; at += step) {
    const address = virtualAddress(image.textBase + at);
    say(binary.rule(textOffset(at), true), binary.rule(textOffset(at), false));
    const registers = new Float64Array(17).fill(image.textBase);
    say(binary.exactStep(textOffset(at), registers, () => undefined));
    say(binary.isKnownBest(address), binary.symbol(address), binary.debugInfo !== undefined);
  }
  say(binary.mapping(), binary.goThread);
  const { failure } = binary;
  assert.ok(binary.problems.size >= 0);
  binary.close();
  open.close();
  return { said, failure, told };
}

const C =
  'int puts(const char *); int twice(int x) { return x * 2; } int main(int n) { puts(""); return twice(n); }';
const ADDON = join(import.meta.dirname, '../../build/flametap.node');

describe('a file that fails at any call is counted, and nothing is thrown', () => {
  const programs = {
    C: () => compile(scratch.path, 'c', C, ['-g', '-O1']),
    'C without build id, static': () =>
      compile(scratch.path, 'static', C, ['-static', '-Wl,--build-id=none']),
    'the addon, large': () => ADDON,
    Go: () => buildGoSelf(scratch.path),
  };
  for (const [name, build] of Object.entries(programs)) {
    test(name, () => {
      const path = build();
      const whole = new FaultyFiles('EIO', Number.POSITIVE_INFINITY);
      const truth = drill(path, whole);
      assert.equal(truth.failure, undefined);
      const step = Math.max(1, Math.floor(whole.calls / 150));
      for (const fault of Object.keys(FAULTS) as Fault[]) {
        for (let good = firstOf(fault); good < whole.calls; good += step) {
          const files = new FaultyFiles(fault, good);
          const what = `${fault} after ${good} of ${whole.calls} calls`;
          const { said, failure, told } = drill(path, files);
          assert.ok(files.hasFailed, what);
          assert.ok(failure === REASONS[fault] || failure === 'read_failed', `${what}: ${failure}`);
          assert.equal(told, 1, what);
          assert.deepEqual(said, truth.said.slice(0, said.length), `${what}: what it said before`);
        }
      }
    });
  }

  test('DWARF', async () => {
    const path = compile(scratch.path, 'dwarf', C, ['-g', '-gz=zlib', '-O1']);
    const names = async (files: FileAccess) => {
      const none = () => {
        throw new Error('there is none');
      };
      const roots = new FileRoots({ files, openBelow: none, openOnHost: none }, []);
      const watch = {
        skipped: new Set<string>(),
        trusted: new Set<string>(),
        begins() {},
        summed() {},
      };
      const downloads = { isConfigured: false, request: () => undefined, takeProblems: () => [] };
      const found = await DebugInfoNames.open(
        { fd: openSync(path, 'r'), path, roots },
        downloads,
        noDemangler,
        watch,
      );
      try {
        const { lines } = found.lookup(Float64Array.of(0x1000, 0x1139, 0x1150));
        return { lines, problems: found.takeProblems() };
      } finally {
        found.close();
      }
    };
    const whole = new FaultyFiles('EIO', Number.POSITIVE_INFINITY);
    const truth = await names(whole);
    assert.ok(truth.lines.some((line) => line !== undefined));
    for (const fault of Object.keys(FAULTS) as Fault[]) {
      // The descriptor is made anew before it is looked at.
      for (let good = 2 * firstOf(fault); good < whole.calls; good++) {
        const files = new FaultyFiles(fault, good);
        const what = `${fault} after ${good} of ${whole.calls} calls`;
        try {
          const { problems } = await names(files);
          assert.ok(problems.length > 0, what);
        } catch (cause) {
          assert.ok(cause instanceof ParseError && isFileFailure(cause), `${what}: ${cause}`);
        }
      }
    }
  });
});
