/** Certificates made by openssl for 127.0.0.1, thrown away at the end of the test. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Pair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface Certificates {
  readonly ca: Buffer;
  readonly server: Pair;
  readonly client: Pair;
  /** The client's next one. */
  readonly renewed: Pair;
  /** Until yesterday. */
  readonly expired: Pair;
  /** Of an authority that nobody knows. */
  readonly foreign: Pair;
  /** For a host of another name. */
  readonly misnamed: Pair;
}

export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'flametap-certificates-'));
  const openssl = (...args: readonly string[]) =>
    execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const authority = (name: string): void => {
    openssl(
      ...['req', '-x509', ...newKey, '-subj', `/CN=${name}`, '-days', '2'],
      ...['-keyout', `${name}.key`, '-out', `${name}.pem`],
    );
  };
  const signed = (name: string, by: string, subject: string, days = 2): Pair => {
    openssl('req', ...newKey, '-subj', '/CN=flametap', '-keyout', `${name}.key`, '-out', 'request');
    writeFileSync(join(folder, 'extensions'), `subjectAltName=${subject}\n`);
    openssl(
      ...['x509', '-req', '-in', 'request', '-CA', `${by}.pem`, '-CAkey', `${by}.key`],
      ...['-CAcreateserial', '-extfile', 'extensions', '-days', `${days}`, '-out', `${name}.pem`],
    );
    return { cert: read(`${name}.pem`), key: read(`${name}.key`) };
  };
  const read = (name: string): Buffer => readFileSync(join(folder, name));
  try {
    authority('ca');
    authority('other');
    return {
      ca: read('ca.pem'),
      server: signed('server', 'ca', 'IP:127.0.0.1'),
      client: signed('client', 'ca', 'DNS:agent'),
      renewed: signed('renewed', 'ca', 'DNS:agent'),
      expired: signed('expired', 'ca', 'IP:127.0.0.1', -1),
      foreign: signed('foreign', 'other', 'IP:127.0.0.1'),
      misnamed: signed('misnamed', 'ca', 'DNS:elsewhere.example'),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
