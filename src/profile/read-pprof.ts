/**
 * Reads pprof as `encodePprof` writes it. Who runs a frame's code is not in it and is
 * guessed from the mapping and the source file.
 */
import { Profile as PprofProfile } from 'pprof-format';
import type { FrameType, Label, Profile } from './model.ts';
import type { ResolvedLocation } from './profile-tables.ts';
import { isPlace, mappingOf, ProfileFileError, ProfileRebuilder } from './rebuild.ts';

/** @param message not compressed. @throws ProfileFileError */
export function readPprof(message: Uint8Array): Profile {
  let pprof: PprofProfile;
  try {
    pprof = PprofProfile.decode(message);
  } catch (error) {
    throw new ProfileFileError(`no pprof: ${error instanceof Error ? error.message : error}`);
  }
  return new PprofReader(pprof).read();
}

const TALLY = /^flametap\.tally\.([\w.-]+)=(\d{1,15})$/;
/** Ones of a 64-bit address that mark the kernel's half. */
const KERNEL_FROM = 1n << 63n;
const LOW_52 = (1n << 52n) - 1n;
const OF_PROCESSES: ReadonlySet<string> = new Set(
  ['anon', 'heap', 'stack', 'uprobes', 'vdso', 'vsyscall', 'vvar', 'vvar_vclock'].map(
    (name) => `[${name}]`,
  ),
);
const LANGUAGES: readonly (readonly [RegExp, FrameType])[] = [
  [/\.go$/, 'go'],
  [/\.rs$/, 'rust'],
  [/\.(m?js|cjs|ts)$/, 'v8js'],
  [/\.py$/, 'cpython'],
  [/\.(java|kt|scala)$/, 'jvm'],
];

class PprofReader {
  readonly #pprof: PprofProfile;
  readonly #rebuilder = new ProfileRebuilder();
  readonly #strings: readonly string[];

  constructor(pprof: PprofProfile) {
    this.#pprof = pprof;
    this.#strings = pprof.stringTable.strings;
  }

  read(): Profile {
    const { sample, timeNanos, durationNanos, period, comment } = this.#pprof;
    const locations = this.#locations();
    const values = this.#values();
    for (const { locationId, value, label } of sample) {
      const stack = locationId.map((id) => locations.get(Number(id)));
      if (stack.includes(undefined)) throw new ProfileFileError('a stack leads nowhere');
      const { process, thread, labels } = this.#labels(label);
      const count = values.count(value.map(Number));
      this.#rebuilder.add(process, thread, stack as number[], labels, count);
    }
    const tally = comment.flatMap((line) => {
      const [, key, count] = TALLY.exec(this.#text(line)) ?? [];
      return key === undefined ? [] : [[key, Number(count)] as const];
    });
    return this.#rebuilder.finish({
      startNs: BigInt(timeNanos),
      durationNs: Number(durationNanos),
      periodNs: Number(period),
      host: '',
      tally,
    });
  }

  #text(index: number | bigint): string {
    return this.#strings[Number(index)] ?? '';
  }

  /** Samples of a sample: counted, or worked out from CPU time. */
  #values(): { count: (values: readonly number[]) => number } {
    const types = this.#pprof.sampleType.map(
      ({ type, unit }) => `${this.#text(type)}/${this.#text(unit)}`,
    );
    const counts = types.indexOf('samples/count');
    if (counts >= 0) return { count: (values) => values[counts] ?? 0 };
    const cpu = types.indexOf('cpu/nanoseconds');
    const period = Number(this.#pprof.period);
    if (cpu < 0 || !(period > 0)) {
      throw new ProfileFileError(`no CPU profile: its values are ${types.join(', ') || 'none'}`);
    }
    return { count: (values) => Math.round((values[cpu] ?? 0) / period) };
  }

  #labels(list: PprofProfile['sample'][number]['label']) {
    let name = '';
    let pid = 0;
    let thread = '';
    let service = '';
    const labels: Label[] = [];
    for (const { key, str, num } of list) {
      const called = this.#text(key);
      const value = Number(str) === 0 ? String(num) : this.#text(str);
      if (called === 'process') name = value;
      else if (called === 'pid') pid = Number(num);
      else if (called === 'thread') thread = value;
      else if (called === 'service_name') service = value;
      else labels.push({ key: called, value });
    }
    return { process: this.#rebuilder.process(pid, name, '', service), thread, labels };
  }

  #locations(): Map<number, number> {
    const { mapping, location } = this.#pprof;
    const functions = new Map(this.#pprof.function.map((called) => [Number(called.id), called]));
    const mappings = new Map(
      mapping.map(({ id, filename, buildId }) => [
        Number(id),
        mappingOf(this.#text(filename), { buildId: this.#text(buildId) }),
      ]),
    );
    return new Map(
      location.map(({ id, mappingId, address, line }) => {
        const own = mappings.get(Number(mappingId));
        const lines = line.map((one) => {
          const called = functions.get(Number(one.functionId));
          const name = this.#text(called?.name ?? 0);
          return {
            name,
            systemName: this.#text(called?.systemName ?? 0),
            file: this.#text(called?.filename ?? 0),
            line: Number(one.line),
            column: 0,
            startLine: Number(called?.startLine ?? 0),
            ...(isPlace(name) ? { unnamed: true as const } : {}),
          };
        });
        const at = BigInt(address);
        const type = typeOf(own?.file ?? '', at, lines.at(-1));
        return [
          Number(id),
          this.#rebuilder.location({ mapping: own, address: Number(at & LOW_52), type, lines }),
        ];
      }),
    );
  }
}

/** Brackets stand around modules of the kernel as around what a process maps without a file. */
const isKernelModule = (module: string): boolean =>
  /^\[[\w-]+\]$/.test(module) && !OF_PROCESSES.has(module);

function typeOf(
  module: string,
  address: bigint,
  line: ResolvedLocation['lines'][number] | undefined,
): FrameType {
  const { name = '', file = '' } = line ?? {};
  if (isKernelModule(module) || BigInt.asUintN(64, address) >= KERNEL_FROM) return 'kernel';
  if (module === '' && /^\[(stack cut: .*|no stack)\]$/.test(name)) return 'marker';
  const language = LANGUAGES.find(([pattern]) => pattern.test(file))?.[1];
  if (language !== undefined) return language;
  return module === '[anon]' ? 'jit' : 'native';
}
