/** Names of files with profiles. */

export const FILE_FORMATS = ['pprof', 'otlp'] as const;
export type FileFormat = (typeof FILE_FORMATS)[number];

const EXTENSION: Readonly<Record<FileFormat, string>> = { pprof: '.pb.gz', otlp: '.otlp' };

const NAME =
  /^flametap-(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2}\.\d{3}Z)(?:-\d{1,4})?\.(?:pb\.gz|otlp)$/;
const TEMPORARY = /^\.flametap-[\dTZ.-]{24,29}\.(?:pb\.gz|otlp)\.\d{1,10}\.tmp$/;

/**
 * flametap-2026-11-21T11-55-10.123Z.pb.gz: sorts by time, no colon for other systems.
 * @param startMs milliseconds since 1970
 * @param repetition tells files of one millisecond apart; 0 = the first
 */
export function fileName(startMs: number, format: FileFormat, repetition = 0): string {
  const time = new Date(startMs).toISOString().replaceAll(':', '-');
  return `flametap-${time}${repetition === 0 ? '' : `-${repetition}`}${EXTENSION[format]}`;
}

/** When the profile in a file of ours starts, milliseconds since 1970; undefined for any other name. */
export function startOf(name: string): number | undefined {
  const [, day, hours, minutes, seconds] = NAME.exec(name) ?? [];
  if (day === undefined) return undefined;
  const time = Date.parse(`${day}T${hours}:${minutes}:${seconds}`);
  return Number.isNaN(time) ? undefined : time;
}

/** In the same folder, as a name moves only within a file system. */
export function temporaryName(name: string, pid: number): string {
  return `.${name}.${pid}.tmp`;
}

export function isTemporary(name: string): boolean {
  return TEMPORARY.test(name);
}
