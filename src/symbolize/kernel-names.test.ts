import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { kernelAddress } from '../units/units.ts';
import { KernelNames } from './kernel-names.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
/** 'ffffffff81000000' without its upper 12 bits. */
const address = (hex: string) => kernelAddress(Number.parseInt(hex.slice(-13), 16));

const CORE = `ffffffff81000000 T _stext
ffffffff81000000 T first
ffffffff81000040 T second
ffffffff81000080 T _etext
`;
const bpf = (hex: string, name: string): string =>
  `${hex} t bpf_prog_0123456789abcdef_${name}\t[bpf]\n`;

/** A kernel whose files and clock the test changes. */
class FakeKernel {
  text = CORE;
  time = 1_000_000;
  reads = 0;
  /** Milliseconds that reading takes. */
  cost = 0;

  readonly names = new KernelNames({
    kallsyms: () => {
      this.reads++;
      this.time += this.cost;
      return [encode(this.text)];
    },
    modules: () => new Uint8Array(),
    now: () => this.time,
  });

  name(hex: string): string | undefined {
    return this.names.lookup(address(hex))?.name;
  }
}

test('a BPF program that is loaded later shows up by name, soon and without reading all the time', () => {
  const kernel = new FakeKernel();
  const place = 'ffffffffc0300010';
  assert.equal(kernel.name('ffffffff81000044'), 'second');
  assert.equal(kernel.name(place), undefined);
  kernel.text = CORE + bpf('ffffffffc0300000', 'sample');
  for (let round = 0; round < 100; round++) assert.equal(kernel.name(place), undefined);
  assert.equal(kernel.reads, 1, 'not again at once');
  kernel.time += 1000;
  const found = kernel.names.lookup(address(place))!;
  assert.deepEqual([found.name, found.module], ['bpf:sample', '[bpf]']);
  assert.equal(kernel.reads, 2);
  assert.deepEqual([...kernel.names.problems], [['kernel_symbol_missing', 101]]);
});

test('a BPF program in the place of another takes over its address', () => {
  const kernel = new FakeKernel();
  const place = 'ffffffffc0300010';
  kernel.text = CORE + bpf('ffffffffc0300000', 'old');
  assert.equal(kernel.name(place), 'bpf:old');
  kernel.text = CORE + bpf('ffffffffc0300000', 'new');
  kernel.time += 910_000;
  assert.equal(kernel.name(place), 'bpf:new');
  assert.equal(kernel.name('ffffffff81000000'), 'first');
  assert.equal(kernel.reads, 2, 'names of the kernel itself are not read again');
});

test('a BPF program whose coming was seen has its own bytes, also after it went away', () => {
  const kernel = new FakeKernel();
  kernel.text = CORE + bpf('ffffffffc0300000', 'before');
  assert.equal(kernel.name('ffffffffc0301234'), 'bpf:before', 'its size is not known');
  const { loaded } = kernel.names;
  loaded.add(address('ffffffffc0301000'), 0x800, encode('bpf_prog_0123456789abcdef_seen'));
  const names = ['0ffff', '01000', '017ff', '01800'].map((low) => kernel.name(`ffffffffc03${low}`));
  assert.deepEqual(names, ['bpf:before', 'bpf:seen', 'bpf:seen', 'bpf:before']);
  loaded.add(address('ffffffffc0301000'), 0x100, encode('bpf_prog_0123456789abcdef_next'));
  assert.equal(kernel.name('ffffffffc03010ff'), 'bpf:next');
  for (let number = 0; number < 20_000; number++) {
    loaded.add(address((0xc0400000 + number * 64).toString(16).padStart(16, 'f')), 64, encode('p'));
  }
  assert.equal(kernel.name('ffffffffc0400010'), undefined, 'the oldest is forgotten');
});

test('slow reading is done less often', () => {
  const kernel = new FakeKernel();
  kernel.cost = 400;
  kernel.name('ffffffffc0300010');
  kernel.time += 119_000;
  kernel.name('ffffffffc0300010');
  assert.equal(kernel.reads, 1);
  kernel.time += 1500;
  kernel.name('ffffffffc0300010');
  assert.equal(kernel.reads, 2);
});

test('code that never has a name does not make us read for ever', () => {
  const kernel = new FakeKernel();
  kernel.cost = 10;
  for (let second = 0; second < 3600; second++) {
    kernel.time += 1000;
    assert.equal(kernel.name('ffffffffc0300010'), undefined);
  }
  assert.ok(kernel.reads >= 8 && kernel.reads <= 20, `${kernel.reads} times in an hour`);
  kernel.text = CORE + bpf('ffffffffc0300000', 'late');
  kernel.time += 600_000;
  assert.equal(kernel.name('ffffffffc0300010'), 'bpf:late');
});

test('hidden addresses say so, are counted, and are named once they are shown', () => {
  const kernel = new FakeKernel();
  kernel.text = CORE.replace(/^[0-9a-f]{16}/gm, '0000000000000000');
  const found = kernel.names.lookup(address('ffffffff81000044'))!;
  assert.equal(found.name, '[kernel: addresses hidden by kptr_restrict]');
  assert.deepEqual([found.module, found.unnamed], ['[kernel]', true]);
  assert.deepEqual([...kernel.names.problems], [['kernel_kptr_restrict', 1]]);
  kernel.text = '';
  kernel.time += 60_001;
  assert.equal(kernel.name('ffffffff81000044'), '[kernel: no symbols]');
  kernel.text = CORE;
  kernel.time += 60_001;
  assert.equal(kernel.name('ffffffff81000044'), 'second');
});

test('this very kernel: every fiftieth function has one of its names, none with its addresses zeroed', () => {
  const text = readFileSync('/proc/kallsyms', 'latin1');
  const lines = text
    .split('\n')
    .map((line) => /^([0-9a-f]{16}) [tT] (\S+)(?:\t\[(\S+)\])?$/.exec(line))
    .filter((match) => match !== null);
  const byAddress = new Map<string, Set<string>>();
  for (const [, hex, name] of lines) {
    byAddress.set(hex!, (byAddress.get(hex!) ?? new Set()).add(name!));
  }
  assert.ok(byAddress.size > 10_000, 'this test needs to see kernel addresses: run it as root');
  const files = { modules: () => new Uint8Array(), now: () => 1e6 };
  const shown = new KernelNames({ ...files, kallsyms: () => [encode(text)] });
  const zeroed = encode(text.replace(/^[0-9a-f]{16}/gm, '0'.repeat(16)));
  const hidden = new KernelNames({ ...files, kallsyms: () => [zeroed] });
  const end = lines.findIndex(([, , name]) => name === '_etext');
  let named = 0;
  for (const [, hex] of lines.slice(0, end).filter((_, index) => index % 50 === 0)) {
    const found = shown.lookup(address(hex!));
    if (found) {
      assert.ok(byAddress.get(hex!)!.has(found.systemName), `${hex} ${found.systemName}`);
      named++;
    }
    assert.equal(hidden.lookup(address(hex!))!.unnamed, true);
  }
  assert.ok(named > 500, `${named} named`);
});
