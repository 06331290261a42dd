/** Debug information of test programs, and what llvm-symbolizer says of the same addresses. */
import { spawnSync } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FileSource } from '../file-source.ts';
import { ElfImage, SectionType } from '../image.ts';
import type { ByteSource } from '../source.ts';
import { DebugInfo } from './debug-info.ts';
import type { DebugCompanions, DebugSections } from './sections.ts';

export function sectionsOf(path: string): DebugSections {
  const image = ElfImage.parse(new FileSource(openSync(path, 'r')));
  return {
    section(name: string): ByteSource | undefined {
      const section = image.section(name);
      return section === undefined || section.type === SectionType.Nobits
        ? undefined
        : image.view(section);
    },
  };
}

/** The files beside the binary: what the real search finds too. */
export function companionsOf(path: string): DebugCompanions {
  return {
    supplement: () => {
      const link = sectionsOf(path).section('.gnu_debugaltlink');
      if (link === undefined) return undefined;
      const bytes = Buffer.from(link.read(0, link.size));
      const name = bytes.toString('utf8', 0, bytes.indexOf(0));
      const file = name.startsWith('/') ? name : join(dirname(path), name);
      return existsSync(file) ? sectionsOf(file) : undefined;
    },
    split: ({ name, compilationDirectory }) => {
      const file = name.startsWith('/') ? name : join(compilationDirectory, name);
      return existsSync(file) ? sectionsOf(file) : undefined;
    },
    package: () => (existsSync(`${path}.dwp`) ? sectionsOf(`${path}.dwp`) : undefined),
  };
}

export function openDebugInfo(path: string): DebugInfo {
  return DebugInfo.open(sectionsOf(path), companionsOf(path));
}

export interface OracleLine {
  readonly FunctionName: string;
  readonly FileName: string;
  readonly Line: number;
  readonly Column: number;
  readonly StartLine: number;
}

export function oracleLines(
  path: string,
  addresses: Float64Array,
  functions: 'linkage' | 'short',
): OracleLine[][] {
  const { stdout, status, stderr } = spawnSync(
    'llvm-symbolizer',
    [
      `--obj=${path}`,
      '--inlines',
      `--functions=${functions}`,
      '--no-demangle',
      '--output-style=JSON',
    ],
    {
      input: `${[...addresses].map((address) => `0x${address.toString(16)}`).join('\n')}\n`,
      maxBuffer: 1 << 30,
      encoding: 'utf8',
    },
  );
  if (status !== 0) throw new Error(`llvm-symbolizer: ${status} ${stderr}`);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { Symbol: OracleLine[] }).Symbol);
}
