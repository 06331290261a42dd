import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Profile as Pprof } from 'pprof-format';
import { bootTime } from '../units/units.ts';
import { fuzz, hostileText, rawSamples } from './arbitrary-samples.test-support.ts';
import { buildProfile, sourceLine } from './fixture.test-support.ts';
import { encodeGoPgo } from './go-pgo.ts';
import type { FrameType, Profile } from './model.ts';

/** `NAME LINE START [FILE]`, one for each call at the location, innermost first. */
interface Place {
  readonly type: FrameType;
  readonly binary: string;
  readonly calls: readonly string[];
}
const go = (...calls: string[]): Place => ({ type: 'go', binary: '/srv/app', calls });
const c = (name: string): Place => ({ type: 'native', binary: '/lib/libc.so.6', calls: [name] });
const vdso: Place = { type: 'native', binary: '[vdso]', calls: ['__vdso_clock_gettime'] };
const kernel: Place = { type: 'kernel', binary: '[kernel]', calls: ['do_syscall_64'] };

interface Stack {
  /** Leaf first. */
  readonly places: readonly Place[];
  readonly count: number;
  readonly pid?: number;
}

/** A profile of these stacks; equal places are one location. */
function profileOf(stacks: readonly Stack[]): Profile {
  const empty = buildProfile([]);
  const texts = new Map<string, number>();
  const number = (text: string) => {
    const known = texts.get(text) ?? texts.size + 1;
    texts.set(text, known);
    return known;
  };
  const all = [
    ...new Map(stacks.flatMap(({ places }) => places).map((p) => [JSON.stringify(p), p])),
  ];
  const binaries = [...new Set(all.map(([, { binary }]) => binary))];
  const names = [
    ...new Set(all.flatMap(([, { calls }]) => calls.map((call) => call.replace(/ \d+/, '')))),
  ];
  const pids = [...new Set(stacks.map(({ pid }) => pid ?? 1))];
  const column = (value: (stack: Stack, row: number) => number) => Uint32Array.from(stacks, value);
  return {
    ...empty,
    mappings: ['', ...binaries].map((file) => ({
      start: 0,
      end: 0,
      fileOffset: 0,
      file,
      buildId: '',
      goBuildId: file === '' ? '' : `go-${file}`,
    })),
    functions: names.map((text) => {
      const [name = '', start = '0', file = 'app.go'] = text.split(' ');
      return {
        ...sourceLine(name.replace(/\[.*\]/, '[...]')),
        shortName: name,
        systemName: name,
        file,
        startLine: Number(start),
        unnamed: false,
      };
    }),
    locations: all.map(([text, { type, binary, calls }]) => ({
      mapping: binaries.indexOf(binary) + 1,
      address: 0x40_0000 + number(text),
      type,
      lines: calls.map((call) => ({
        function: names.indexOf(call.replace(/ \d+/, '')),
        line: Number(call.split(' ')[1] ?? 0),
        column: 0,
      })),
    })),
    stacks: stacks.map(({ places }) =>
      Uint32Array.from(places, (place) =>
        all.findIndex(([text]) => text === JSON.stringify(place)),
      ),
    ),
    processes: pids.map((pid) => ({
      pid,
      name: 'app',
      executable: '',
      startNs: bootTime(0n),
      execId: 0,
    })),
    samples: {
      length: stacks.length,
      process: column(({ pid }) => pids.indexOf(pid ?? 1)),
      thread: column(() => 0),
      stack: column((_, row) => row),
      count: column(({ count }) => count),
      labels: column(() => 0),
    },
  };
}

/** Stacks as text, leaf first, `NAME:LINE` for each call and ` < ` between locations. */
function stacksOf(bytes: Uint8Array): Map<string, number> {
  const pprof = Pprof.decode(gunzipSync(bytes));
  const { strings } = pprof.stringTable;
  const found = new Map<string, number>();
  for (const { locationId, value } of pprof.sample) {
    const places = locationId.map((id) =>
      pprof.location[Number(id) - 1]!.line.map(({ functionId, line }) => {
        const called = pprof.function[Number(functionId) - 1]!;
        return `${strings[Number(called.name)]}:${line}`;
      }).join(' in '),
    );
    const text = places.join(' < ');
    assert.ok(!found.has(text), `two samples of ${text}`);
    found.set(text, Number(value[0]));
  }
  return found;
}

const only = (...places: Place[]) => [
  ...stacksOf(encodeGoPgo(profileOf([{ places, count: 1 }])).bytes).keys(),
];
const root = go('runtime.goexit 1700 1690 asm.s');
const main = go('main.main 12 10');

test('what the Go compiler reads: values, start lines, and names with their type arguments', () => {
  const { bytes, samples } = encodeGoPgo(
    profileOf([
      { places: [go('main.Sum[go.shape.int] 25 20', 'main.main 12 10'), root], count: 3 },
    ]),
  );
  assert.equal(samples, 3);
  const pprof = Pprof.decode(gunzipSync(bytes));
  const text = (index: number | bigint) => pprof.stringTable.strings[Number(index)];
  assert.deepEqual(
    pprof.sampleType.map(({ type, unit }) => `${text(type)}/${text(unit)}`),
    ['samples/count', 'cpu/nanoseconds'],
  );
  assert.deepEqual(
    pprof.sample.map(({ value, label }) => [value, label]),
    [[[3, 30_303_030], []]],
  );
  assert.deepEqual(
    pprof.function.map((f) => [text(f.name), text(f.systemName), text(f.filename), f.startLine]),
    [
      ['main.Sum[go.shape.int]', 'main.Sum[go.shape.int]', 'app.go', 20],
      ['main.main', 'main.main', 'app.go', 10],
    ],
  );
  assert.deepEqual(
    pprof.mapping.map((m) => [
      text(m.filename),
      text(m.buildId),
      m.hasFunctions,
      m.hasInlineFrames,
    ]),
    [['/srv/app', 'go-/srv/app', true, true]],
  );
});

test('stacks as runtime/pprof sees them', () => {
  const cases: [string, Place[], string][] = [
    [
      'the kernel works for the function that called it',
      [kernel, go('syscall.Syscall6 5 1'), main, root],
      'syscall.Syscall6:5 < main.main:12',
    ],
    [
      'C code works for the Go code that called it',
      [c('qsort'), go('runtime.asmcgocall 9 1'), go('runtime.cgocall 8 1'), main, root],
      'runtime.cgocall:8 < main.main:12',
    ],
    [
      'Go called from C called from Go',
      [
        go('main.Back 3 1'),
        c('qsort'),
        go('runtime.asmcgocall 9 1'),
        go('runtime.cgocall 8 1'),
        main,
      ],
      'main.Back:3 < runtime.asmcgocall:9 < runtime.cgocall:8 < main.main:12',
    ],
    [
      'the clock works for the function that asked it',
      [vdso, go('runtime.nanotime1 9 1'), go('runtime.nanotime 5 4', 'time.Now 7 1'), main, root],
      'runtime.nanotime:5 in time.Now:7 < main.main:12',
    ],
    [
      'a signal handler is not work of the program: it comes before the function it interrupted',
      [
        kernel,
        go('runtime.sighandler 8 1'),
        go('runtime.sigtramp 3 1'),
        go('runtime.sigreturn__sigaction 2 1'),
        main,
        root,
      ],
      'main.main:12',
    ],
    [
      'wrappers are no callers: methods by pointer, go statements, instances that pass a dictionary',
      [
        go('main.T.Area 3 1'),
        go('main.(*T).Area 1 1 <autogenerated>'),
        go('main.Each[go.shape.int] 4 2'),
        go('main.Each[int] 2 2'),
        go('main.main.gowrap1 12 12'),
        root,
      ],
      'main.T.Area:3 < main.Each[go.shape.int]:4',
    ],
    [
      'a call inlined into a wrapper stays',
      [go('main.T.Area 3 1', 'main.(*T).Area 1 1 <autogenerated>'), main, root],
      'main.T.Area:3 < main.main:12',
    ],
    [
      'a wrapper that panics stays',
      [go('runtime.panicwrap 3 1'), go('main.(*T).Area 1 1 <autogenerated>'), main],
      'runtime.panicwrap:3 < main.(*T).Area:1 < main.main:12',
    ],
    [
      'generated code that is called as itself stays',
      [go('type:.eq.[2]main.T 1 1 <autogenerated>'), go('main.init 1 1 <autogenerated>'), root],
      'type:.eq.[2]main.T:1 < main.init:1',
    ],
  ];
  for (const [intent, places, expected] of cases)
    assert.deepEqual(only(...places), [expected], intent);
});

test('samples without Go code are left out, equal ones of all processes merged', () => {
  const busy = [go('main.busy 6 4'), main, root];
  const { bytes, samples, programs } = encodeGoPgo(
    profileOf([
      { places: busy, count: 2, pid: 1 },
      { places: [kernel, ...busy], count: 3, pid: 2 },
      { places: [c('main'), c('__libc_start_main')], count: 50, pid: 3 },
      { places: [kernel], count: 5, pid: 1 },
      { places: [{ ...main, binary: '/srv/other' }], count: 1, pid: 4 },
    ]),
  );
  assert.deepEqual(
    [...stacksOf(bytes)],
    [
      ['main.busy:6 < main.main:12', 5],
      ['main.main:12', 1],
    ],
  );
  assert.equal(samples, 6);
  assert.deepEqual(programs, [
    { file: '/srv/app', processes: 2, samples: 5 },
    { file: '/srv/other', processes: 1, samples: 1 },
  ]);
});

test('no goroutine: no samples, no programs', () => {
  const watching = [go('runtime.usleep 5 1'), go('runtime.sysmon 30 10'), go('runtime.mstart 2 1')];
  const { samples, programs } = encodeGoPgo(
    profileOf([
      { places: [c('main')], count: 9 },
      { places: watching, count: 1 },
    ]),
  );
  assert.deepEqual([samples, programs], [0, []]);
});

// The compiler's own reader: names, lines from the start of the caller, and only the last two locations of a sample.
test('call edges that the Go tool chain reads from it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'flametap-pgo-'));
  try {
    const { bytes } = encodeGoPgo(
      profileOf([
        {
          places: [
            kernel,
            go('main.mix[go.shape.int] 32 30', 'main.fold 24 20'),
            go('main.work 48 40'),
            main,
            root,
          ],
          count: 7,
        },
        { places: [go('main.work 45 40'), main, root], count: 2 },
      ]),
    );
    const path = join(folder, 'profile.pgo');
    writeFileSync(path, bytes);
    const lines = execFileSync('go', ['tool', 'preprofile', '-i', path], { encoding: 'utf8' });
    assert.deepEqual(lines.trim().split('\n'), [
      'GO PREPROFILE V1',
      ...['main.fold', 'main.mix[go.shape.int]', '4 7'],
      ...['main.work', 'main.fold', '8 7'],
      ...['main.main', 'main.work', '2 2'],
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('stays readable and complete whatever names and stacks are', () => {
  fc.assert(
    fc.property(
      rawSamples,
      fc.array(hostileText, { minLength: 10, maxLength: 10 }),
      (samples, names) => {
        const profile = buildProfile(samples, { threads: false }, (low) =>
          low % 5 === 0 ? [] : [sourceLine(names[low % 10]!, low)],
        );
        const locations = profile.locations.map((location) =>
          location.type === 'native' ? { ...location, type: 'go' as const } : location,
        );
        const encoded = encodeGoPgo({ ...profile, locations });
        const pprof = Pprof.decode(gunzipSync(encoded.bytes));
        const counted = pprof.sample.reduce((sum, { value }) => sum + Number(value[0]), 0);
        assert.equal(counted, encoded.samples);
        assert.equal(
          encoded.programs.reduce((sum, program) => sum + program.samples, 0),
          counted,
        );
        for (const { locationId } of pprof.sample) assert.ok(locationId.length > 0);
      },
    ),
    fuzz,
  );
});
