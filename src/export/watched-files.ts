/** Certificates and secrets in files, read again when they change: they are renewed while the agent runs. */
import { readFileSync, statSync } from 'node:fs';

interface Known {
  readonly stamp: string;
  readonly content: Buffer;
}

export class WatchedFiles {
  readonly #known = new Map<string, Known>();

  /**
   * Looks at each file, through all links, and reads those that are others than before.
   * @throws the system's error when one cannot be read
   */
  read(path: string): Buffer {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    const stamp = `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
    const known = this.#known.get(path);
    if (known?.stamp === stamp) return known.content;
    const content = readFileSync(path);
    this.#known.set(path, { stamp, content });
    return content;
  }
}

/** Paths of PEM files, '' = none. */
export interface TlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Contents of the files, as of now. @throws the system's error when one cannot be read */
export function readTls(
  files: WatchedFiles,
  { caFile, certFile, keyFile }: TlsFiles,
): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  return {
    ...(caFile === '' ? {} : { ca: files.read(caFile) }),
    ...(certFile === '' ? {} : { cert: files.read(certFile) }),
    ...(keyFile === '' ? {} : { key: files.read(keyFile) }),
  };
}
