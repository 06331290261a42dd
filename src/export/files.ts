/** Files as a destination: each profile becomes one. */
import type { Profile } from '../profile/model.ts';
import { encodeOtlp, type OtlpOptions } from '../profile/otlp.ts';
import { encodePprof } from '../profile/pprof.ts';
import { errorCode, systemReason } from '../units/system-reason.ts';
import type { Failure } from './fault.ts';
import type { FileFormat } from './file-name.ts';
import { type FolderLimits, ProfileFolder, TooLargeError } from './profile-folder.ts';
import type { Destination, Outcome, Transport } from './transport.ts';

export interface FilesSettings extends FolderLimits {
  readonly name: string;
  readonly directory: string;
  readonly format: FileFormat;
  readonly otlp?: OtlpOptions;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** A request is the start of the profile, nanoseconds since 1970 as 8 bytes with the highest first, and the file. */
const START_BYTES = 8;

export function filesDestination(settings: FilesSettings): Destination {
  return {
    name: settings.name,
    kind: 'files',
    address: settings.directory,
    *encode(profile) {
      yield encodeFile(profile, settings);
    },
    split: () => undefined,
    transport: new FilesTransport(settings),
  };
}

function encodeFile(profile: Profile, { format, otlp }: FilesSettings): Uint8Array {
  const content = format === 'pprof' ? encodePprof(profile) : encodeOtlp(profile, otlp);
  const request = Buffer.alloc(START_BYTES + content.length);
  request.writeBigUInt64BE(profile.startTime);
  request.set(content, START_BYTES);
  return request;
}

const MENDED_BY: Readonly<Record<string, string>> = {
  ENOSPC: 'make room there, lower {max_bytes}, or change {directory}',
  EDQUOT: 'make room there, lower {max_bytes}, or change {directory}',
};

function writeFailure(error: unknown): Failure {
  return {
    reason: systemReason(error),
    fault: 'local_file',
    mend: MENDED_BY[errorCode(error)] ?? 'let the agent write there, or change {directory}',
  };
}

class FilesTransport implements Transport {
  readonly #folder: ProfileFolder;
  readonly #format: FileFormat;

  constructor({ directory, format, now, ...limits }: FilesSettings) {
    this.#folder = new ProfileFolder(directory, limits, now);
    this.#format = format;
  }

  /** A write that has begun is not given up. */
  async send(request: Uint8Array, signal: AbortSignal): Promise<Outcome> {
    if (signal.aborted) return { kind: 'retry', reason: 'cancelled' };
    const start = Buffer.from(request.buffer, request.byteOffset).readBigUInt64BE();
    const startMs = Number(start / 1_000_000n);
    try {
      await this.#folder.add(request.subarray(START_BYTES), startMs, this.#format);
      return { kind: 'delivered', rejected: 0, message: '' };
    } catch (error) {
      if (error instanceof TooLargeError) return { kind: 'too_large', message: error.message };
      // A full disk, a folder that is read-only or somebody else's: all can be mended.
      return { kind: 'retry', ...writeFailure(error) };
    }
  }

  close(): void {}
}
