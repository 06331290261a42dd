/** Certificates and secrets in files, read again when they change: they are renewed while the agent runs. */
import { readFileSync, statSync } from 'node:fs';
import { systemReason } from '../units/system-reason.ts';
import { LocalFileError } from './local-file.ts';

interface Known {
  readonly stamp: string;
  readonly content: Buffer;
}

export class WatchedFiles {
  readonly #known = new Map<string, Known>();
  /** As all that were asked for looked then, readable or not. */
  readonly #asked = new Map<string, string>();

  /**
   * Looks at the file, through all links, and reads it when it is another than before.
   * @param key where the configuration names it. @throws LocalFileError
   */
  read(path: string, key: string): Buffer {
    const stamp = stampOf(path);
    this.#asked.set(path, stamp);
    try {
      const known = this.#known.get(path);
      if (known?.stamp === stamp) return known.content;
      const content = readFileSync(path);
      this.#known.set(path, { stamp, content });
      return content;
    } catch (error) {
      throw new LocalFileError(key, path, `cannot be read: ${systemReason(error)}`);
    }
  }

  /** Whether one of the files is another one than when it was asked for, or has come or gone. */
  get haveChanged(): boolean {
    return [...this.#asked].some(([path, stamp]) => stampOf(path) !== stamp);
  }
}

/** Differs whenever the file may have. Never throws. */
function stampOf(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
  } catch (error) {
    return String(error);
  }
}

/** Paths of PEM files, '' = none. */
export interface TlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Contents of the files, as of now. @throws LocalFileError */
export function readTls(
  files: WatchedFiles,
  { caFile, certFile, keyFile }: TlsFiles,
): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  return {
    ...(caFile === '' ? {} : { ca: readPem(files, caFile, 'tls.ca_file', 'CERTIFICATE') }),
    ...(certFile === '' ? {} : { cert: readPem(files, certFile, 'tls.cert_file', 'CERTIFICATE') }),
    ...(keyFile === '' ? {} : { key: readPem(files, keyFile, 'tls.key_file', 'PRIVATE KEY') }),
  };
}

/** OpenSSL takes a file without a certificate for one that trusts nobody, and does not say so. */
function readPem(files: WatchedFiles, path: string, key: string, wanted: string): Buffer {
  const content = files.read(path, key);
  if (!content.includes(`${wanted}-----`))
    throw new LocalFileError(key, path, `has no ${wanted.toLowerCase()} in PEM`);
  return content;
}
