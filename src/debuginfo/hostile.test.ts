import assert from 'node:assert/strict';
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { ParseError } from '../elf/source.ts';
import { compile, openImage, scratchDirectory } from '../elf/testdata/programs.ts';
import { DebugSearch, mayHaveDebugInformation } from './debug-search.ts';
import { processRoot, run } from './testing.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());

const SOURCE = `${Array.from({ length: 60 }, (_, i) => `struct t_${i} { int m_${i}; } v_${i};`).join('\n')}
int main(void) { return 0; }`;

/** A program with everything that a search follows: compressed sections, all links, embedded symbols. */
function everything(root: string): string {
  const programs = ['a', 'b'].map((name) => compile(root, name, SOURCE, ['-g', '-Wl,--build-id']));
  const [program] = programs as [string, string];
  run('dwz', '-m', join(root, 'common'), '-M', 'common', ...programs);
  copyFileSync(program, join(root, 'a.debug'));
  const data = join(root, 'data');
  writeFileSync(data, readFileSync(program));
  run('xz', '-k', data);
  run('objcopy', '--add-section', `.gnu_debugdata=${data}.xz`, program);
  run('objcopy', '--compress-debug-sections=zlib', program);
  run('objcopy', `--add-gnu-debuglink=${join(root, 'a.debug')}`, program);
  return program;
}

/** Uses all that a search offers; how many candidates it had. */
async function exercise(file: string, roots: ReturnType<typeof processRoot>): Promise<number> {
  const fd = openSync(file, 'r');
  let search: DebugSearch;
  try {
    search = new DebugSearch({ fd, path: '/a', roots });
  } catch (error) {
    assert.ok(error instanceof ParseError, String(error));
    return 0;
  } finally {
    // The search has its own.
    setImmediate(() => closeSync(fd));
  }
  let count = 0;
  for await (const { image, sections, companions } of search.candidates()) {
    count++;
    mayHaveDebugInformation(image, '/a', roots, false);
    for (const { name } of image.sections) {
      try {
        sections?.section(name)?.read(0, 1);
      } catch (error) {
        assert.ok(error instanceof ParseError, String(error));
      }
    }
    companions.supplement()?.section('.debug_str');
    companions.split({ name: 'a.dwo', compilationDirectory: '', id: 0n });
    companions.package();
  }
  search.close();
  return count;
}

describe('search in damaged files', () => {
  test('whatever is damaged, other sources remain and nothing but ParseErrors is thrown', async () => {
    const root = join(scratch.path, 'root');
    mkdirSync(root);
    const program = everything(root);
    const roots = processRoot(root);
    assert.equal(await exercise(program, roots), 3);
    const whole = readFileSync(program);
    const table = Number(whole.readBigUInt64LE(40));
    const { sections } = openImage(program);
    const small = sections.filter(({ name }) => /link|debug_|gnu_debugdata/.test(name));
    // Where damage does something: the section table and what the sections begin with.
    const place = fc.oneof(
      fc.nat(whole.length - table - 1).map((at) => table + at),
      fc
        .tuple(fc.constantFrom(...small), fc.nat(40))
        .map(([{ offset, size }, at]) => offset + Math.min(at, size - 1)),
      fc.nat(63),
    );
    const damaged = join(root, 'damaged');
    let found = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 6 }),
        async (changes) => {
          const bytes = Buffer.from(whole);
          for (const [at, value] of changes) bytes[at] = value;
          writeFileSync(damaged, bytes);
          found += await exercise(damaged, roots);
        },
      ),
      { seed: 4, numRuns: 400 },
    );
    assert.ok(found > 400, `${found} candidates in 400 damaged files`);
  });
});
