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
      mend: `correct ${proxy?.variable ?? 'HTTPS_PROXY'}, or list the receiver in NO_PROXY`,
    }),
  },
  {
    says: /CERT_HAS_EXPIRED|certificate has expired/,
    means: certificate('has expired', 'renew it at the receiver'),
  },
  {
    says: /CERT_NOT_YET_VALID|certificate is not yet valid/,
    means: certificate(
      'is not yet valid',
      "set this machine's clock, or renew the certificate at the receiver",
    ),
  },
  {
    says: /ALTNAME_INVALID|does not match certificate's altnames/,
    means: certificate(
      'is for another host name',
      'use the name in the certificate in ADDRESS, or issue the certificate for this one',
    ),
  },
  {
    says: /SELF_SIGNED|self-signed certificate|UNABLE_TO_(VERIFY|GET_ISSUER)|unable to (verify the first|get (local )?issuer) certificate/,
    means: certificate(
      'is signed by an authority that this machine does not trust',
      "set {tls.ca_file} to the file with that authority's certificate",
    ),
  },
  {
    says: /alert (certificate required|bad certificate|unknown ca|certificate (expired|revoked|unknown)|unsupported certificate|access denied)|handshake failure|TLSV13_ALERT_CERTIFICATE_REQUIRED/i,
    means: (_, text) => ({
      reason: `the receiver ended the TLS handshake: ${alertOf(text)}`,
      fault: 'client_certificate',
      mend: 'set {tls.cert_file} and {tls.key_file} to a client certificate that the receiver trusts',
    }),
  },
  {
    says: /no application protocol/,
    means: ({ keys }) => ({
      reason: 'the port speaks TLS, but not HTTP/2, which gRPC needs',
      fault: 'wrong_protocol',
      mend: `set {protocol} to http/protobuf, or use the receiver's gRPC port in ${keys.address}`,
    }),
  },
  {
    says: /wrong version number|packet length too long|EPROTO|http request|unknown protocol/,
    means: ({ keys }) => ({
      reason: 'the port does not speak TLS',
      fault: 'wrong_protocol',
      mend: `write http:// in ${keys.address}, or use the receiver's TLS port there`,
    }),
  },
  {
    says: /HPE_|Parse Error/,
    means: ({ keys }) => ({
      reason: 'the port does not speak HTTP/1; it may be a gRPC port',
      fault: 'wrong_protocol',
      mend: `set {protocol} to grpc, or use the receiver's HTTP port (usually 4318) in ${keys.address}`,
    }),
  },
  {
    says: /^(?:gRPC 14 )?Protocol error/,
    means: ({ keys }) => ({
      reason: 'the port does not speak gRPC; it may be an HTTP port',
      fault: 'wrong_protocol',
      mend: `set {protocol} to http/protobuf, or use the receiver's gRPC port (usually 4317) in ${keys.address}`,
    }),
  },
  {
    says: /ENOTFOUND|EAI_NONAME|Name resolution failed/,
    means: ({ keys, proxy }) => ({
      reason: 'DNS does not know the host name',
      fault: 'unknown_host',
      mend: `correct the host in ${keys.address}${proxy === undefined ? '' : ` or in ${proxy.variable}`}`,
    }),
  },
  {
    says: /ERR_INVALID_CHAR|ERR_HTTP_INVALID_HEADER/,
    means: ({ keys }) => ({
      reason: 'a header has a character that HTTP does not allow',
      fault: 'unauthenticated',
      mend: `correct ${keys.credentials}`,
    }),
  },
  {
    says: /ERR_OSSL|DECODER routines|x509 certificate routines|PEM routines|key values mismatch/,
    means: (_, text) => ({
      reason: /mismatch/i.test(text)
        ? 'the private key does not match the client certificate'
        : 'the client certificate or private key is not valid PEM',
      fault: 'local_file',
      mend: 'correct the files that {tls.cert_file} and {tls.key_file} name',
    }),
  },
  {
    says: /EAI_AGAIN/,
    means: () => ({ reason: 'DNS does not answer' }),
  },
  {
    says: /ECONNREFUSED/,
    means: ({ keys }) => ({
      reason: 'connection refused',
      mend: `start the receiver, or correct ${keys.address}`,
    }),
  },
  {
    says: /EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL/,
    means: ({ keys }) => ({
      reason: 'no route to the host',
      mend: `correct ${keys.address}, or the routes of this machine`,
    }),
  },
  {
    says: /ECONNRESET|EPIPE|ended early|Failed to connect|socket hang up/,
    means: ({ isSecure, keys }) => ({
      reason: 'the connection was closed without an answer',
      mend: isSecure
        ? 'if the receiver requires a client certificate, set {tls.cert_file} to one that it trusts'
        : `if the port speaks TLS, write https:// in ${keys.address}`,
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
