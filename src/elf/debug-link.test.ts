import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { parseAlternateLink, parseDebugLink, parseSupplementLink } from './debug-link.ts';
import { MemorySource, ParseError } from './source.ts';
import { compile, openImage, scratchDirectory } from './testdata/programs.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());

const source = (text: string): MemorySource => new MemorySource(Buffer.from(text, 'latin1'));
const isBroken = (error: unknown) => error instanceof ParseError && error.reason === 'debug_link';
const PARSERS = [parseDebugLink, parseAlternateLink, parseSupplementLink];

function section(file: string, name: string): MemorySource {
  const image = openImage(file);
  const view = image.view(image.section(name)!);
  return new MemorySource(view.read(0, view.size).slice());
}

/** Two programs with enough in common for dwz to move it to a third file. */
function supplemented(folder: string, options: readonly string[]): [string, string] {
  const types = Array.from(
    { length: 60 },
    (_, i) => `struct shared_type_${i} { int member_${i}; };`,
  );
  const uses = types.map((_, i) => `struct shared_type_${i} value_${i};`);
  const text = [...types, ...uses, 'int main(void) { return 0; }'].join('\n');
  const files = ['a', 'b'].map((name) =>
    compile(scratch.path, `${folder}-${name}`, text, ['-g', '-gdwarf-5', '-Wl,--build-id']),
  );
  const common = join(scratch.path, `${folder}.sup`);
  execFileSync('dwz', ['-m', common, '-M', `sup/${folder}.sup`, ...options, ...files]);
  return [files[0]!, common];
}

describe('links to debug files', () => {
  for (const name of ['x', 'xy', 'xyz.debug', 'program.debug']) {
    test(`the link that objcopy writes to ${name} is read`, () => {
      const program = compile(scratch.path, 'linked', 'int main(void) { return 0; }', ['-g']);
      const debug = join(scratch.path, name);
      execFileSync('objcopy', ['--only-keep-debug', program, debug]);
      execFileSync('objcopy', ['--strip-debug', `--add-gnu-debuglink=${debug}`, program]);
      assert.deepEqual(parseDebugLink(section(program, '.gnu_debuglink')), {
        name,
        checksum: crc32(readFileSync(debug)),
      });
    });
  }

  test('the link that dwz writes names the supplement and its build id', () => {
    const [program, common] = supplemented('alternate', []);
    const { buildId } = openImage(common);
    assert.notEqual(buildId, '');
    assert.deepEqual(parseAlternateLink(section(program, '.gnu_debugaltlink')), {
      path: 'sup/alternate.sup',
      id: buildId,
    });
  });

  test('the link of DWARF 5 names the supplement and the checksum that it has', () => {
    const [program, common] = supplemented('dwarf5', ['--dwarf-5']);
    const link = parseSupplementLink(section(program, '.debug_sup'));
    const own = parseSupplementLink(section(common, '.debug_sup'));
    assert.equal(link.path, 'sup/dwarf5.sup');
    assert.deepEqual(own, { path: '', id: link.id });
    assert.ok(link.id.length >= 16);
  });

  test('names that lead elsewhere, cut and overlong links are refused', () => {
    for (const text of ['', 'a', 'a\0', 'a\0\0\0\x01\x02\x03', '../a\0\0\0\x01\x02\x03\x04'])
      assert.throws(() => parseDebugLink(source(text)), isBroken, JSON.stringify(text));
    for (const text of ['', '\0', 'a\0', '\0\x01\x02', `a\0${'x'.repeat(65)}`])
      assert.throws(() => parseAlternateLink(source(text)), isBroken, JSON.stringify(text));
    const sups = [
      '\x05\0',
      '\x04\0\0a\0\x01x',
      '\x05\0\0a\0',
      '\x05\0\0a\0\x02x',
      '\x05\0\0\0\x01x',
    ];
    for (const text of sups)
      assert.throws(() => parseSupplementLink(source(text)), isBroken, JSON.stringify(text));
    const long = source(`${'a'.repeat(1 << 20)}\0\0\0\0`);
    for (const parse of PARSERS) assert.throws(() => parse(long), isBroken);
  });

  test('whatever the bytes are, only ParseErrors come of them', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc
        .tuple(
          fc.constantFrom([], [5, 0, 0], [5, 0, 1]),
          fc.string({ maxLength: 9 }),
          fc.uint8Array(),
        )
        .map(([head, text, tail]) => Uint8Array.from([...head, ...Buffer.from(text), 0, ...tail])),
    );
    let parsed = 0;
    fc.assert(
      fc.property(bytes, (each) => {
        for (const parse of PARSERS) {
          try {
            parse(new MemorySource(each));
            parsed++;
          } catch (error) {
            assert.ok(error instanceof ParseError, String(error));
          }
        }
      }),
      { seed: 4, numRuns: 2000 },
    );
    assert.ok(parsed > 200, `${parsed} were accepted`);
  });
});
