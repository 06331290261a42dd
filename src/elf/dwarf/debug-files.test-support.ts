/** Debug information of programs that tests compile, with the files beside them. */
import { execFileSync } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FileSource } from '../file-source.ts';
import { ElfImage, SectionType } from '../image.ts';
import type { ByteSource } from '../source.ts';
import { seeded } from '../testdata/seeded.ts';
import { DebugInfo } from './debug-info.ts';
import type { DebugCompanions, DebugSections } from './sections.ts';

export function sectionsOf(image: ElfImage): DebugSections {
  return {
    section(name: string): ByteSource | undefined {
      const section = image.section(name);
      return section === undefined || section.type === SectionType.Nobits
        ? undefined
        : image.view(section);
    },
  };
}

export function openFile(path: string): ElfImage {
  return ElfImage.parse(new FileSource(openSync(path, 'r')));
}

const existing = (path: string): DebugSections | undefined =>
  existsSync(path) ? sectionsOf(openFile(path)) : undefined;

/** What the real search finds too, where tests put it. */
function companionsOf(path: string): DebugCompanions {
  return {
    supplement: () => {
      const link = sectionsOf(openFile(path)).section('.gnu_debugaltlink');
      if (link === undefined) return undefined;
      const bytes = Buffer.from(link.read(0, link.size));
      const name = bytes.toString('utf8', 0, bytes.indexOf(0));
      return existing(name.startsWith('/') ? name : join(dirname(path), name));
    },
    split: ({ name, compilationDirectory }) =>
      existing(name.startsWith('/') ? name : join(compilationDirectory, name)),
    package: () => existing(`${path}.dwp`),
  };
}

export const NO_COMPANIONS: DebugCompanions = {
  supplement: () => undefined,
  split: () => undefined,
  package: () => undefined,
};

export function openDebugInfo(path: string): DebugInfo {
  return DebugInfo.open(sectionsOf(openFile(path)), companionsOf(path));
}

/** Ascending random addresses within the executable sections. */
export function randomAddresses(path: string, seed: number, count: number): Float64Array {
  const random = seeded(seed);
  const sections = openFile(path).sections.filter(
    ({ flags, size }) => (flags & 4) !== 0 && size > 0,
  );
  const total = sections.reduce((sum, { size }) => sum + size, 0);
  const addresses = new Set<number>();
  for (let n = 0; n < count; n++) {
    let place = random(total);
    for (const { address, size } of sections) {
      if (place < size) {
        addresses.add(address + place);
        break;
      }
      place -= size;
    }
  }
  return Float64Array.from(addresses).sort();
}

/** Ascending addresses of instructions: at most `count` of them, chosen by the seed. */
export function instructionAddresses(path: string, seed: number, count: number): Float64Array {
  const text = execFileSync('objdump', ['-d', '--no-show-raw-insn', '-w', path], {
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  });
  const all = Array.from(text.matchAll(/^ +([0-9a-f]+):\t/gm), ([, address]) =>
    Number.parseInt(address!, 16),
  );
  const random = seeded(seed);
  const chosen = new Set(Array.from({ length: count }, () => all[random(all.length)]!));
  return Float64Array.from(all.length <= count ? all : chosen).sort();
}
