import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kernelAddress } from '../units/units.ts';
import { type KernelCode, parseKernelCode } from './kernel-sideband.ts';

function record(type: number, ksymType: number, name: string): Buffer {
  const padded = Buffer.alloc(Math.ceil((name.length + 1) / 8) * 8);
  padded.write(name);
  const size = 24 + padded.length + 16;
  const head = Buffer.alloc(24);
  head.writeUInt32LE(type, 0);
  head.writeUInt16LE(size, 6);
  head.writeBigUInt64LE(0xffff_ffff_c030_1000n, 8);
  head.writeUInt32LE(0x2c0, 16);
  head.writeUInt16LE(ksymType, 20);
  return Buffer.concat([head, padded, Buffer.alloc(16)]);
}

const parse = (bytes: Uint8Array): KernelCode[] => {
  const found: KernelCode[] = [];
  parseKernelCode(bytes, (code) => found.push(code));
  return found;
};

test('BPF programs are read with place, size and name; other records are passed over', () => {
  const name = 'bpf_prog_0123456789abcdef_busy';
  const bytes = Buffer.concat([record(10, 1, 'x'), record(17, 1, name), record(17, 2, 'ool')]);
  const [code, ...others] = parse(bytes);
  assert.deepEqual(others, []);
  assert.equal(code!.start, kernelAddress(0xf_ffff_c030_1000));
  assert.equal(code!.size, 0x2c0);
  assert.equal(Buffer.from(code!.name).toString(), name);
});

test('records that are cut or damaged end the parse, never throw', () => {
  const whole = Buffer.concat([record(17, 1, 'first'), record(17, 1, 'second')]);
  for (let cut = 0; cut < whole.length; cut++) parse(whole.subarray(0, cut));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      parse(bytes);
    }),
    { seed: 20261121, numRuns: 1000 },
  );
});
