import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { kernelAddress } from '../units/units.ts';
import { cpuMilliseconds } from './cpu-time.test-support.ts';
import { KernelSymbols } from './kernel-symbols.ts';

const SEED = 20261121;
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
/** 'ffffffff81000000' without its upper 12 bits. */
const address = (hex: string) => kernelAddress(Number.parseInt(hex.slice(-13), 16));

const SAMPLE = `0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 T startup_64
ffffffff81000040 T __do_thing
ffffffff81000040 T do_thing
ffffffff81000040 W weak_thing
ffffffff810000f0 t __pfx_helper
ffffffff81000100 t helper
ffffffff81000120 t elper
ffffffff81000140 T _etext
ffffffff82000000 D jiffies
ffffffff83000000 T _sinittext
ffffffff83000010 T start_kernel
ffffffffc0200000 t later_init\t[later]
ffffffffc0200040 T later_read\t[later]
ffffffffc0201000 d later_data\t[later]
ffffffffc0100ff0 t early_read\t[early]
ffffffffc0300000 t bpf_prog_0123456789abcdef_sample_stack\t[bpf]
ffffffffc0300040 t bpf_prog_fedcba9876543210\t[bpf]
ffffffffc0300080 t bpf_trampoline_6442\t[bpf]
`;

test('a function is named from its start to the next symbol', () => {
  const symbols = KernelSymbols.parse([encode(SAMPLE)]);
  const name = (hex: string) => symbols.lookup(address(hex))?.name;
  assert.equal(symbols.hidden, '');
  assert.equal(name('ffffffff81000000'), 'startup_64', 'not the section bound at the same address');
  assert.equal(name('ffffffff8100003f'), 'startup_64');
  assert.equal(name('ffffffff81000040'), 'do_thing');
  assert.equal(name('ffffffff810000f0'), '__pfx_helper');
  assert.equal(name('ffffffff8100011f'), 'helper');
  assert.equal(name('ffffffff8100013f'), 'elper');
});

test('addresses outside of all code have no name', () => {
  const symbols = KernelSymbols.parse([encode(SAMPLE)]);
  for (const hex of [
    '0000000000000000',
    'ffffffff80ffffff',
    'ffffffff81000140', // _etext
    'ffffffff82000000', // Data.
    'ffffffff83000010', // Start-up code: freed after boot.
    'ffffffffc0101000', // The page after the last function of a module.
    'ffffffffc0201000', // A module's data.
    'ffffffffc0310080', // 64 KiB behind the last BPF program.
    'ffffffffffffffff',
  ]) {
    assert.equal(symbols.lookup(address(hex)), undefined, hex);
  }
});

test('modules come in any order and keep their names', () => {
  const symbols = KernelSymbols.parse([encode(SAMPLE)]);
  const at = (hex: string) => symbols.lookup(address(hex));
  assert.deepEqual(at('ffffffffc0100fff'), {
    name: 'early_read',
    systemName: 'early_read',
    module: '[early]',
  });
  assert.equal(at('ffffffffc0200fff')?.name, 'later_read');
  assert.equal(at('ffffffff81000100')?.module, '[kernel]');
});

test('the size in /proc/modules ends the last function of a module', () => {
  const modules =
    'early 4096 0 - Live 0xffffffffc0100000\nlater 80 1 early, Live 0xffffffffc0200000\n';
  const kallsyms = SAMPLE.replace(/.*later_data.*\n/, '');
  const symbols = KernelSymbols.parse([encode(kallsyms)], encode(modules));
  assert.equal(symbols.lookup(address('ffffffffc020004f'))?.name, 'later_read');
  assert.equal(symbols.lookup(address('ffffffffc0200050')), undefined);
});

test('BPF programs are shown by the name they were given, else by tag', () => {
  const symbols = KernelSymbols.parse([encode(SAMPLE)]);
  assert.deepEqual(symbols.lookup(address('ffffffffc0300010')), {
    name: 'bpf:sample_stack',
    systemName: 'bpf_prog_0123456789abcdef_sample_stack',
    module: '[bpf]',
  });
  assert.equal(symbols.lookup(address('ffffffffc0300041'))?.name, 'bpf:fedcba9876543210');
  assert.equal(symbols.lookup(address('ffffffffc0300080'))?.name, 'bpf_trampoline_6442');
});

test('withheld addresses are told apart from no symbols at all', () => {
  const zeros = encode(SAMPLE.replace(/^[0-9a-f]{16}/gm, '0000000000000000'));
  assert.equal(KernelSymbols.parse([zeros]).hidden, 'kptr_restrict');
  assert.equal(KernelSymbols.parse([zeros]).lookup(kernelAddress(0)), undefined);
  assert.equal(KernelSymbols.parse([]).hidden, 'no_symbols');
});

test('this machine: every tenth text symbol is found at its address, quickly', (context) => {
  const bytes = readFileSync('/proc/kallsyms');
  const start = cpuMilliseconds();
  const symbols = KernelSymbols.parse([bytes]);
  const took = cpuMilliseconds() - start;
  context.diagnostic(`${bytes.length} bytes, ${symbols.size} symbols in ${took.toFixed(1)} ms`);
  assert.equal(symbols.hidden, '', 'run as root, with kernel.kptr_restrict at most 1');
  assert.ok(took < 1000);
  const rows = bytes
    .toString('latin1')
    .split('\n')
    .map((line) => line.split(/[ \t]/));
  const etext = rows.find(([, , name]) => name === '_etext')![0]!;
  const text = rows.filter(([at, type, , module]) => {
    return /^[tTwW]$/.test(type ?? '') && (module !== undefined || at! < etext);
  });
  assert.ok(text.length > 20_000);
  const names = Map.groupBy(text, ([at]) => at!);
  for (let index = 0; index < text.length; index += 10) {
    const at = text[index]![0]!;
    const found = symbols.lookup(address(at));
    const expected = names.get(at)!.map(([, , name]) => name);
    assert.ok(expected.includes(found?.systemName), `${at}: ${found?.systemName}`);
  }
});

test('pieces of any size, in memory that is used again, give what the whole gives', () => {
  const whole = encode(SAMPLE);
  const expected = KernelSymbols.parse([whole]);
  const buffer = new Uint8Array(whole.length);
  function* pieces(size: number) {
    for (let at = 0; at < whole.length; at += size) {
      const piece = buffer.subarray(0, Math.min(size, whole.length - at));
      piece.set(whole.subarray(at, at + size));
      yield piece;
      buffer.fill(0x20);
    }
  }
  for (const size of [1, 2, 7, 40, 64, whole.length - 1]) {
    const symbols = KernelSymbols.parse(pieces(size));
    assert.equal(symbols.size, expected.size);
    for (const [hex] of SAMPLE.matchAll(/^[0-9a-f]{16}/gm)) {
      assert.deepEqual(symbols.lookup(address(hex)), expected.lookup(address(hex)));
    }
  }
});

test('200,000 lines parse in a tenth of a second or so', () => {
  const lines = Array.from({ length: 200_000 }, (_, index) => {
    return `${(0xffffff81000000n + BigInt(index) * 64n).toString(16).padStart(16, 'f')} t function_number_${index}\n`;
  });
  const bytes = encode(`ffffffff81000000 T _stext\n${lines.join('')}ffffffffa0000000 T _etext\n`);
  const times = [1, 2, 3].map(() => {
    const start = cpuMilliseconds();
    assert.equal(KernelSymbols.parse([bytes]).size, 200_001);
    return cpuMilliseconds() - start;
  });
  assert.ok(Math.min(...times) < 200, `${times}`);
});

test('damaged input never throws', () => {
  const sample = encode(SAMPLE);
  const change = fc.tuple(
    fc.nat(sample.length - 1),
    fc.constantFrom(0, 9, 10, 32, 48, 91, 97, 255),
  );
  fc.assert(
    fc.property(fc.array(change, { maxLength: 20 }), fc.nat(sample.length), (changes, length) => {
      const bytes = Uint8Array.from(sample);
      for (const [at, value] of changes) bytes[at] = value;
      const symbols = KernelSymbols.parse([bytes.subarray(0, length)], bytes.subarray(length));
      for (const [hex] of SAMPLE.matchAll(/^[0-9a-f]{16}/gm)) symbols.lookup(address(hex));
    }),
    { seed: SEED, numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      KernelSymbols.parse([bytes], bytes).lookup(kernelAddress(1));
    }),
    { seed: SEED, numRuns: 2000 },
  );
});
