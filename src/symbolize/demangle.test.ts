import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MAX_NAME_BYTES } from './clean-name.ts';
import { cpuMilliseconds } from './cpu-time.test-support.ts';
import {
  cachingDemangler,
  displayName,
  frameTypeOf,
  noDemangler,
  withoutVersion,
} from './demangle.ts';

test('symbol versions are not part of a name', () => {
  assert.equal(withoutVersion('memcpy@@GLIBC_2.14'), 'memcpy');
  assert.equal(withoutVersion('puts@GLIBC_2.2.5'), 'puts');
  assert.equal(withoutVersion('main'), 'main');
  assert.equal(withoutVersion('@odd'), '@odd');
});

test('only mangled names reach the demangler, without their version', () => {
  const asked: string[] = [];
  const demangle = (name: string) => {
    asked.push(name);
    return name === '_ZN1a1bEv' ? 'a::b()' : '';
  };
  assert.equal(displayName('main', demangle), 'main');
  assert.equal(displayName('_ZN1a1bEv@@V1', demangle), 'a::b()');
  assert.equal(displayName('_Zbroken', demangle), '_Zbroken');
  assert.deepEqual(asked, ['_ZN1a1bEv', '_Zbroken']);
});

test('what a demangler gives back is cleaned and bounded too', () => {
  assert.equal(
    displayName('_Zx', () => 'a\x1b[0mb'),
    'a�[0mb',
  );
  assert.equal(Buffer.byteLength(displayName('_Zx', () => 'y'.repeat(1e5))), MAX_NAME_BYTES);
});

test('Rust is told from C++ by its manglings', () => {
  for (const name of [
    '_RNvCs1234_7mycrate3foo',
    '_ZN4core3fmt9Formatter3pad17h0123456789abcdefE',
    '_ZN4core3fmt9Formatter3pad17h0123456789abcdefE.llvm.123',
  ]) {
    assert.equal(frameTypeOf(name), 'rust', name);
  }
  for (const name of ['_ZN1a1bEv', 'main', '_Return', '_R', '', '_ZN3foo17hello_hello_helloEv']) {
    assert.equal(frameTypeOf(name), 'native', name);
  }
});

test('the cache answers again without asking, and forgets the least recently used', () => {
  let calls = 0;
  const cached = cachingDemangler((name) => {
    calls++;
    return name.toUpperCase();
  }, 8);
  assert.equal(cached('ab'), 'AB');
  assert.equal(cached('cd'), 'CD');
  assert.equal(cached('ab'), 'AB');
  assert.equal(calls, 2);
  cached('ef'); // Pushes out cd.
  cached('ab');
  assert.equal(calls, 3);
  cached('cd');
  assert.equal(calls, 4);
  cached('x'.repeat(100)); // Larger than the cache: not kept, nor does it break it.
  assert.equal(cached('ab'), 'AB');
});

test('no name, however odd, throws or takes long', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
      for (const name of [
        text,
        `_ZN${text}17h0123456789abcdefE`,
        `_R${text}`,
        `${text}@@${text}`,
      ]) {
        frameTypeOf(name);
        assert.ok(displayName(name, noDemangler).isWellFormed());
      }
    }),
    { seed: 20261121, numRuns: 2000 },
  );
  const start = cpuMilliseconds();
  for (const unit of ['17h', '@', '_ZN', '0', '.a']) {
    const name = `_ZN${unit.repeat(5000)}`;
    frameTypeOf(name);
    displayName(name, noDemangler);
  }
  assert.ok(cpuMilliseconds() - start < 500);
});
