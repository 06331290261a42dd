import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GoCopy } from '../capture/record.ts';
import { type GoThreadLayout, runtimeLayout } from '../elf/go-thread.ts';
import { copiedGoroutine } from './goroutine-copy.ts';

const layoutOf = (version: string): GoThreadLayout => ({
  gOffset: -8,
  gSlot: 0,
  ...runtimeLayout(version)!,
});

const [G0, GSIGNAL, USER, M] = [0x1000, 0x2000, 0x3000, 0x4000];

/** A thread whose g is `g`, with the goroutine USER (or none) as its m's curg. */
function copyOf(layout: GoThreadLayout, g: number, curg = USER, status = 2) {
  const view = new DataView(new ArrayBuffer(GoCopy.size));
  const put = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
  put(GoCopy.g, g);
  put(GoCopy.gWords + layout.m, M);
  put(GoCopy.mWords, G0);
  put(GoCopy.mWords + layout.gsignal, GSIGNAL);
  put(GoCopy.mWords + layout.curg, curg);
  const words = g === curg ? GoCopy.gWords : GoCopy.curgWords + (layout.curg === 184 ? 0 : 320);
  if (curg !== 0) {
    put(words + layout.m, M);
    put(words + layout.goid - 8, status);
    put(words + layout.goid, 2 ** 33 + 7);
    put(words + layout.gopc, 0x7f00_0000_1000);
    put(words + layout.gopc + 16, 0x401000);
  }
  return { view, words, put };
}

const known = (state: string) => ({
  state,
  goid: 2 ** 33 + 7,
  creator: 0x7f00_0000_1000,
  start: 0x401000,
});
const none = (state: string) => ({ state, goid: 0, creator: 0, start: 0 });

for (const version of ['go1.16', 'go1.20.14', 'go1.21.0', 'go1.24.1', 'go1.25.0', 'go1.27.0']) {
  test(`${version}: on the goroutine's stack, on the thread's own, in a signal, between goroutines`, () => {
    const layout = layoutOf(version);
    const told = (g: number, curg?: number, status?: number) =>
      copiedGoroutine(copyOf(layout, g, curg, status).view, layout);
    assert.deepEqual(told(USER), known('goroutine'));
    assert.deepEqual(told(G0), known('goroutine'));
    assert.deepEqual(told(GSIGNAL), known('signal'));
    assert.deepEqual(told(GSIGNAL, 0), none('signal'));
    assert.deepEqual(told(G0, 0), none('scheduler'));
    // being looked at by the collector, copying its stack, in a system call
    for (const status of [0x1002, 8, 3])
      assert.deepEqual(told(G0, USER, status), known('goroutine'));
    for (const status of [0, 6, 10, 11, 77]) {
      assert.deepEqual(told(USER, USER, status), none('goroutine_changing'), `status ${status}`);
    }
    assert.deepEqual(told(0x5000), none('goroutine_changing'));
    const moved = copyOf(layout, G0);
    moved.put(moved.words + layout.m, 0x9000);
    assert.deepEqual(copiedGoroutine(moved.view, layout), none('goroutine_changing'));
    const unnumbered = copyOf(layout, USER);
    unnumbered.put(unnumbered.words + layout.goid, 0);
    assert.deepEqual(copiedGoroutine(unnumbered.view, layout), none('goroutine_changing'));
    const outside = copyOf(layout, G0);
    outside.view.setUint8(GoCopy.mWords + layout.inC, layout.inC === 0 ? 0 : 1);
    if (layout.inC !== 0) {
      assert.deepEqual(copiedGoroutine(outside.view, layout), none('foreign'));
    }
  });
}

test('without a layout, with g elsewhere, without a copy: none is made up', () => {
  const layout = layoutOf('go1.26.0');
  const { view } = copyOf(layout, USER);
  assert.deepEqual(copiedGoroutine(view, undefined), none('go_layout_unknown'));
  assert.equal(copiedGoroutine(view, { ...layout, gOffset: -16 }), undefined);
  assert.equal(copiedGoroutine(view, { ...layout, gOffset: 0, gSlot: 0x1000 }), undefined);
  assert.equal(copiedGoroutine(copyOf(layout, 0).view, layout), undefined);
});

test('any bytes are survived', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: GoCopy.size, maxLength: GoCopy.size }),
      fc.constantFrom('go1.16', 'go1.22.0', 'go1.25.0', 'go1.27.0'),
      (bytes, version) => {
        const goroutine = copiedGoroutine(new DataView(bytes.buffer), layoutOf(version));
        assert.ok(goroutine === undefined || (goroutine.goid >= 0 && goroutine.goid < 2 ** 48));
      },
    ),
    { seed: 23, numRuns: 500 },
  );
});

test('a layout that has moved beyond what was copied says nothing', () => {
  const layout = layoutOf('go1.27.0');
  const copy = copyOf(layout, G0).view;
  assert.deepEqual(copiedGoroutine(copy, layout), known('goroutine'));
  for (const moved of [{ curg: 176 }, { curg: 200 }, { m: 56 }, { inC: 288 }, { inC: 5000 }]) {
    assert.equal(copiedGoroutine(copy, { ...layout, ...moved }), undefined, JSON.stringify(moved));
  }
});
