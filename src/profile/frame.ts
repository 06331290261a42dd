/**
 * What one location looks like to a reader: the frames it stands for and the
 * text shown for each. Every encoder takes names from here, so that a frame is
 * called the same in a flame graph, a pprof file and a folded line.
 */
import type { FrameType, Location, Mapping, Process, Profile } from './model.ts';

export interface Frame {
  /** Never empty: a frame without a name is shown as `module+0xaddress`. */
  readonly name: string;
  /** For narrow places: see `FunctionName.shortName`. */
  readonly shortName: string;
  /** As the linker knows it; equal to `name` for unnamed frames. */
  readonly systemName: string;
  readonly type: FrameType;
  /** `Mapping.file`, '' when the code belongs to no mapping. */
  readonly module: string;
  /** Source file, '' = not known. */
  readonly file: string;
  /** Line that ran, 1-based, 0 = not known. */
  readonly line: number;
  /** First line of the function, 0 = not known. */
  readonly startLine: number;
  /** True for calls that exist only in debug information. */
  readonly inlined: boolean;
}

/** The tables that frames are read from. */
export type FrameTables = Pick<Profile, 'functions' | 'locations' | 'mappings'>;

/** The frames of one location, innermost inlined call first, the function that was really called last. */
export function framesOf(tables: FrameTables, location: Location): readonly Frame[] {
  const mapping = tables.mappings[location.mapping];
  const module = mapping?.file ?? '';
  const unnamed = unnamedText(location, mapping);
  if (location.lines.length === 0) {
    return [
      {
        name: unnamed,
        shortName: unnamed,
        systemName: unnamed,
        type: location.type,
        module,
        file: '',
        line: 0,
        startLine: 0,
        inlined: false,
      },
    ];
  }
  const outermost = location.lines.length - 1;
  return location.lines.map((line, depth) => {
    const called = tables.functions[line.function];
    const name = called === undefined || called.name === '' ? unnamed : called.name;
    return {
      name,
      shortName: called === undefined || called.shortName === '' ? name : called.shortName,
      systemName: called === undefined || called.systemName === '' ? name : called.systemName,
      type: location.type,
      module,
      file: called?.file ?? '',
      line: line.line,
      startLine: called?.startLine ?? 0,
      inlined: depth < outermost,
    };
  });
}

/**
 * True when a name was found; where a function is (`module+0x1234`) is none.
 * A marker is text of ours and counts as neither.
 */
export function isNamed(tables: FrameTables, location: Location): boolean {
  const outermost = location.lines.at(-1);
  const called = outermost && tables.functions[outermost.function];
  return called !== undefined && called.name !== '' && !called.unnamed;
}

/** Text for a frame without a name: `libc.so.6+0x1234`, `[jit code]`, `[kernel]`; outside of any mapping `0x…`, or `[unknown]` where addresses are not told. */
function unnamedText(location: Location, mapping: Mapping | undefined): string {
  if (location.type === 'kernel') return '[kernel]';
  // Addresses of generated code mean nothing to a reader, and there are thousands.
  if (location.type === 'jit') return '[jit code]';
  const address = `0x${location.address.toString(16)}`;
  const module = moduleText(mapping?.file ?? '');
  if (module === '' && location.address === 0) return '[unknown]';
  return module === '' ? address : `${module}+${address}`;
}

/** The last component of a path; names in brackets stay whole. */
export function moduleText(file: string): string {
  if (file.startsWith('[')) return file;
  const path = file.endsWith('/') ? file.slice(0, -1) : file;
  return path.slice(path.lastIndexOf('/') + 1);
}

type ProcessNames = Pick<Process, 'pid' | 'name' | 'executable' | 'resource'>;

/** The program that a process runs. */
export const programText = (process: ProcessNames): string =>
  moduleText(process.executable) || processText(process);

/** The service that a process states to be, '' when it does not. */
export const statedService = ({ resource = [] }: Pick<Process, 'resource'>): string =>
  resource.find(({ key }) => key === 'service.name')?.value ?? '';

/** The service that a process is: what it states, or its program. */
export const serviceText = (process: ProcessNames): string =>
  statedService(process) || programText(process);

/** A process without a usable name is shown by its executable, then by its pid. */
export function processText(process: Omit<ProcessNames, 'resource'>): string {
  if (process.name !== '') return process.name;
  const executable = moduleText(process.executable);
  return executable === '' ? `[pid ${process.pid}]` : executable;
}
