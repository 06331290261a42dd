import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { GnuSymbols } from './gnu-symbols.ts';
import { ElfImage } from './image.ts';
import { MemorySource, ParseError } from './source.ts';

const SEED = 2026;
const LIBC = execFileSync('gcc', ['-print-file-name=libc.so.6'], { encoding: 'utf8' }).trim();
const libc = readFileSync(LIBC);

const symbolsOf = (bytes: Uint8Array): GnuSymbols | undefined =>
  GnuSymbols.of(ElfImage.parse(new MemorySource(bytes)));

test('every symbol that readelf shows is found, with its value, and no other', () => {
  const text = execFileSync('readelf', ['-W', '--dyn-syms', LIBC], { encoding: 'latin1' });
  const symbols = symbolsOf(libc)!;
  let compared = 0;
  for (const line of text.split('\n')) {
    const [, value, size, type, , , section, name] = line.trim().split(/\s+/);
    const kind = { OBJECT: 1, FUNC: 2, TLS: 6 }[type ?? ''];
    // Of several versions of a name one is the default.
    if (kind === undefined || section === 'UND' || !name?.includes('@@')) continue;
    const others = name.replace(/@.*/, '');
    const found = symbols.find(others);
    assert.ok(found, others);
    const isSame = found.value === Number.parseInt(value!, 16) && found.type === kind;
    if (isSame) assert.equal(found.size, Number(size));
    compared += isSame ? 1 : 0;
  }
  assert.ok(compared > 2000, `${compared} compared`);
  for (const name of ['', 'mallo', 'malloc_', 'no such name', 'main']) {
    assert.equal(symbols.find(name), undefined, name);
  }
});

test('a file without a table has no symbols', () => {
  const object = readFileSync(process.execPath).subarray(0, 64);
  assert.throws(() => symbolsOf(object), ParseError);
  const program = Uint8Array.from(libc);
  const { segments } = ElfImage.parse(new MemorySource(program));
  const dynamic = segments.find(({ type }) => type === 2)!;
  program.fill(0, dynamic.offset, dynamic.offset + dynamic.fileSize);
  assert.equal(symbolsOf(program), undefined);
});

test('mutated tables end in an answer or a ParseError, soon', () => {
  const { segments, sections } = ElfImage.parse(new MemorySource(libc));
  const dynamic = segments.find(({ type }) => type === 2)!;
  const places = sections
    .filter(({ name }) => ['.gnu.hash', '.dynsym', '.dynstr'].includes(name))
    .map(({ offset, size }) => ({ offset: Number(offset), size }));
  places.push({ offset: Number(dynamic.offset), size: dynamic.fileSize });
  const mutation = fc.record({
    place: fc.constantFrom(...places),
    // Heads of tables decide most.
    at: fc.oneof(fc.nat(32), fc.nat()),
    value: fc.oneof(fc.constantFrom(0, 0xff, 0x7f, 1), fc.nat(255)),
  });
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 24 }), (mutations) => {
      const bytes = Uint8Array.from(libc);
      for (const { place, at, value } of mutations) bytes[place.offset + (at % place.size)] = value;
      try {
        const symbols = symbolsOf(bytes);
        for (const name of ['malloc', 'errno', 'environ', 'x']) symbols?.find(name);
      } catch (error) {
        assert.ok(error instanceof ParseError, String(error));
      }
    }),
    { seed: SEED, numRuns: 300 },
  );
});
