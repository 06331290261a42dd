/**
 * What keeps a receiver from taking any request until an operator mends it: requests wait for
 * that as they do in an outage, and nothing is lost by a password that has expired.
 */

export const FAULT_CODES = [
  /** No credentials, or unknown or expired ones. */
  'unauthenticated',
  /** Known, but not allowed to write profiles here. */
  'forbidden',
  /** The receiver keeps tenants apart, and was told none that it knows. */
  'tenant',
  /** There is no such path, method or service at this address. */
  'not_found',
  /** It sends us elsewhere, where credentials are not taken by themselves. */
  'redirected',
  /** TLS to a port without it, plain text to a port with it, or another protocol. */
  'wrong_protocol',
  /** The receiver's certificate is not to be trusted. */
  'certificate',
  /** The receiver does not trust ours. */
  'client_certificate',
  /** A file of ours (certificate, key, token, password) cannot be read or makes no sense. */
  'local_file',
  /** The proxy refuses, or cannot be reached. */
  'proxy',
  /** The receiver's name is not known. */
  'unknown_host',
  /** It does not understand the encoding, the compression or the version. */
  'unsupported',
  /** What was paid for or allowed is used up. */
  'quota',
  /** It fails inside, without saying that this passes. */
  'server_error',
] as const;

export type FaultCode = (typeof FAULT_CODES)[number];

/** Keys by which the operator reaches what is wrong; each in braces, relative to the exporter. */
export interface FaultKeys {
  readonly address: string;
  readonly credentials: string;
  readonly tenant: string;
  /** Of encoding and compression; '' = there is none. */
  readonly encoding: string;
}

/** What an attempt came to that did not arrive. */
export interface Failure {
  /** What happened, for people, without the address. */
  readonly reason: string;
  /** Somebody has to mend it; undefined = it may pass by itself. */
  readonly fault?: FaultCode;
  /** What to do, as an order; keys in braces. */
  readonly mend?: string;
  /** It may be about this request alone: whether others are taken is found out at once. */
  readonly isDoubtful?: boolean;
}

/** A fault that stands. */
export interface StandingFault {
  readonly code: FaultCode;
  readonly reason: string;
  readonly mend: string;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
}

const KEY = /\{([a-z_]+(?:\.[a-z_]+)*)\}/g;

/** Keys of a mend as they stand in the configuration. @param prefix such as `exporters.0.otlp.` */
export const withKeys = (mend: string, prefix: string): string =>
  mend.replaceAll(KEY, (_, key: string) => prefix + key);

/** Each once, most likely first. */
export const keysIn = (mend: string, prefix: string): string[] => [
  ...new Set([...mend.matchAll(KEY)].map(([, key]) => prefix + key)),
];
