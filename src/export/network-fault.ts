/** What a connection that brought no answer means, in words, with what to do about it. */
import type { Failure, FaultKeys } from './fault.ts';
import { LocalFileError } from './local-file.ts';
import { type ProxyInUse, through } from './proxy.ts';

/** What is known of the attempt. */
export interface Attempted {
  readonly isSecure: boolean;
  readonly keys: FaultKeys;
  readonly proxy: ProxyInUse | undefined;
}

interface Rule {
  /** Of the error's code and message. */
  readonly says: RegExp;
  readonly means: (attempted: Attempted, text: string) => Failure;
}

const certificate = (reason: string, more = ''): Rule['means'] => {
  const trust = more === '' ? 'renew it' : more;
  return ({ keys }) => ({
    reason: `the receiver's certificate ${reason}`,
    fault: 'certificate',
    mend: trust.replace('ADDRESS', keys.address),
  });
};

/** Texts are those of Node, OpenSSL and grpc-js, which hides the codes. The first that fits counts. */
const RULES: readonly Rule[] = [
  {
    says: /ERR_PROXY_|proxy tunnel|^undefined$/i,
    means: ({ proxy }) => ({
      reason: `no tunnel${through(proxy) || ' through the proxy'}`,
      fault: 'proxy',
      mend: `correct ${proxy?.variable ?? 'HTTPS_PROXY'}, or name the receiver in NO_PROXY`,
    }),
  },
  {
    says: /CERT_HAS_EXPIRED|certificate has expired/,
    means: certificate('has expired', 'renew it there'),
  },
  {
    says: /CERT_NOT_YET_VALID|certificate is not yet valid/,
    means: certificate('is not yet valid', 'set the clock of this machine, or renew it there'),
  },
  {
    says: /ALTNAME_INVALID|does not match certificate's altnames/,
    means: certificate(
      'is for another name',
      'write the name that it is for in ADDRESS, or have it made for this one',
    ),
  },
  {
    says: /SELF_SIGNED|self-signed certificate|UNABLE_TO_(VERIFY|GET_ISSUER)|unable to (verify the first|get (local )?issuer) certificate/,
    means: certificate(
      'is of an authority that is not trusted here',
      'name the file of that authority in {tls.ca_file}',
    ),
  },
  {
    says: /alert (certificate required|bad certificate|unknown ca|certificate (expired|revoked|unknown)|unsupported certificate|access denied)|handshake failure|TLSV13_ALERT_CERTIFICATE_REQUIRED/i,
    means: (_, text) => ({
      reason: `the receiver ends the TLS handshake: ${alertOf(text)}`,
      fault: 'client_certificate',
      mend: 'it wants a certificate of ours that it trusts: {tls.cert_file}, {tls.key_file}',
    }),
  },
  {
    says: /no application protocol/,
    means: ({ keys }) => ({
      reason: 'the port speaks TLS, but not HTTP/2 as gRPC needs it',
      fault: 'wrong_protocol',
      mend: `choose {protocol}: http/protobuf, or the receiver's port for gRPC in ${keys.address}`,
    }),
  },
  {
    says: /wrong version number|packet length too long|EPROTO|http request|unknown protocol/,
    means: ({ keys }) => ({
      reason: 'the port does not speak TLS',
      fault: 'wrong_protocol',
      mend: `write http:// in ${keys.address}, or name the port that speaks TLS`,
    }),
  },
  {
    says: /HPE_|Parse Error/,
    means: ({ keys }) => ({
      reason: 'what answers there does not speak HTTP/1; it may be gRPC',
      fault: 'wrong_protocol',
      mend: `choose {protocol}: grpc, or the receiver's port for HTTP (usually 4318) in ${keys.address}`,
    }),
  },
  {
    says: /^(?:gRPC 14 )?Protocol error/,
    means: ({ keys }) => ({
      reason: 'what answers there does not speak gRPC; it may be HTTP/1',
      fault: 'wrong_protocol',
      mend: `choose {protocol}: http/protobuf, or the receiver's port for gRPC (usually 4317) in ${keys.address}`,
    }),
  },
  {
    says: /ENOTFOUND|EAI_NONAME|Name resolution failed/,
    means: ({ keys, proxy }) => ({
      reason: 'the host name is not known to the DNS',
      fault: 'unknown_host',
      mend: `correct the host in ${keys.address}${proxy === undefined ? '' : ` or in ${proxy.variable}`}`,
    }),
  },
  {
    says: /ERR_INVALID_CHAR|ERR_HTTP_INVALID_HEADER/,
    means: ({ keys }) => ({
      reason: 'a header has a character that may not be sent',
      fault: 'unauthenticated',
      mend: `correct ${keys.credentials}`,
    }),
  },
  {
    says: /ERR_OSSL|DECODER routines|x509 certificate routines|PEM routines|key values mismatch/,
    means: (_, text) => ({
      reason: /mismatch/i.test(text)
        ? 'our private key does not belong to our certificate'
        : 'our certificate or private key makes no sense',
      fault: 'local_file',
      mend: 'correct the files in {tls.cert_file} and {tls.key_file}',
    }),
  },
  {
    says: /EAI_AGAIN/,
    means: () => ({ reason: 'the DNS does not answer' }),
  },
  {
    says: /ECONNREFUSED/,
    means: ({ keys }) => ({
      reason: 'nobody listens there (connection refused)',
      mend: `is the receiver running? its address is ${keys.address}`,
    }),
  },
  {
    says: /EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL/,
    means: ({ keys }) => ({
      reason: 'no route leads there',
      mend: `its address is ${keys.address}`,
    }),
  },
  {
    says: /ECONNRESET|EPIPE|ended early|Failed to connect|socket hang up/,
    means: ({ isSecure, keys }) => ({
      reason: 'the connection was closed without an answer',
      mend: isSecure
        ? 'a receiver that wants another client certificate does so: {tls.cert_file}'
        : `a port that speaks TLS does so: then write https:// in ${keys.address}`,
    }),
  },
];

/** @param error of a socket, of TLS or of grpc-js, or of files that were to be read for the attempt */
export function failureOf(
  error: { readonly code?: string | undefined; readonly message: string },
  attempted: Attempted,
): Failure {
  if (error instanceof LocalFileError) return error.failure;
  const text = `${error.code ?? ''} ${error.message}`.trim();
  const failure = RULES.find(({ says }) => says.test(text) || says.test(error.message))?.means(
    attempted,
    text,
  );
  if (failure === undefined) return { reason: oneLine(error.message) || text };
  const by = failure.fault === 'proxy' ? '' : through(attempted.proxy);
  return by === '' ? failure : { ...failure, reason: failure.reason + by };
}

/** What OpenSSL says of an alert, without its numbers. */
const alertOf = (text: string): string =>
  /alert ([a-z ]+)/.exec(text)?.[1]?.trim() ?? oneLine(text).slice(0, 80);

const oneLine = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
