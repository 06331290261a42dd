/** Which answers of HTTP are about the configuration and not about the request. */
import type { Failure, FaultKeys } from './fault.ts';

/**
 * Receivers word it as they like, also with 400: Pyroscope, Mimir and Loki say "no org id" and
 * "multiple org IDs present", gateways "unknown tenant". Limits "per tenant" are none of these.
 */
const TENANT =
  /\b(no|multiple|missing|invalid|unknown) org ?ids?\b|\b(no|missing|unknown|invalid) tenant\b|\btenant\b.{0,80}\b(not found|unknown|missing|required|does not exist|unsupported)/i;
/** Go's server, nginx, Apache. */
const WANTS_TLS =
  /HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS|speaking plain HTTP to an SSL/i;
const ENCODING = /unsupported (content-?encoding|content-?type|media type)/i;
const VERSION = /otlp-profiles-development-version/i;

/** Faults that a receiver tells in words, whatever its status or code. */
export function faultInWords(text: string, keys: FaultKeys): Omit<Failure, 'reason'> | undefined {
  if (TENANT.test(text))
    return { fault: 'tenant', mend: `set ${keys.tenant} to a tenant that the receiver knows` };
  if (WANTS_TLS.test(text))
    return { fault: 'wrong_protocol', mend: `write https:// in ${keys.address}` };
  if (VERSION.test(text))
    return {
      fault: 'unsupported',
      mend: 'the receiver supports another version of OTLP profiles: update it, or Flametap',
    };
  if (ENCODING.test(text) && keys.encoding !== '')
    return { fault: 'unsupported', mend: `set ${keys.encoding} to one that the receiver supports` };
  return undefined;
}

/**
 * @param location of a redirect
 * @returns undefined when the answer is about this request
 */
export function statusFault(
  status: number,
  text: string,
  location: string | undefined,
  keys: FaultKeys,
): Omit<Failure, 'reason'> | undefined {
  const { address, credentials, encoding } = keys;
  if (status >= 300 && status < 400) {
    const to = location === undefined ? 'the address that it means' : location.slice(0, 200);
    return {
      fault: 'redirected',
      mend: `redirects are not followed, so that credentials stay with this host: set ${address} to ${to}`,
    };
  }
  const told = status >= 400 && status < 500 ? faultInWords(text, keys) : undefined;
  if (told) return told;
  switch (status) {
    case 401:
      return { fault: 'unauthenticated', mend: `set or renew the credentials in ${credentials}` };
    case 402:
      return { fault: 'quota', mend: `renew the plan, or point ${address} elsewhere` };
    case 403:
    case 451:
      return {
        fault: 'forbidden',
        mend: `allow these credentials to write profiles, or set others in ${credentials}`,
      };
    case 404:
    case 405:
    case 410:
    case 421:
    case 501:
      return {
        fault: 'not_found',
        mend: `correct the host, port or path in ${address}`,
      };
    case 406:
    case 415:
      return {
        fault: 'unsupported',
        mend:
          encoding === ''
            ? `point ${address} to a receiver of profiles`
            : `set ${encoding} to one that the receiver supports`,
      };
    case 407:
      return {
        fault: 'proxy',
        mend: 'the proxy requires credentials: set HTTPS_PROXY or HTTP_PROXY to http://USER:PASSWORD@HOST:PORT, or list the receiver in NO_PROXY',
      };
    case 426:
    case 505:
      return {
        fault: 'wrong_protocol',
        mend: `the port requires another protocol: correct the port in ${address}`,
      };
    case 431:
      return {
        fault: 'unauthenticated',
        mend: `send fewer or shorter headers: shorten ${credentials}`,
      };
    default:
      // 500 is said of requests that cannot be understood, and of data bases that are down.
      return status >= 500
        ? {
            fault: 'server_error',
            mend: "see the receiver's log",
            isDoubtful: true,
          }
        : undefined;
  }
}

/** Many bodies begin with the status: Go's `404 page not found`. */
export function httpMessage(status: number, text: string): string {
  const number = String(status);
  return text.startsWith(number) ? `HTTP ${text}` : `HTTP ${number} ${text}`.trimEnd();
}

/** A page for people: whatever takes profiles answers with none. */
export const isWebPage = (contentType: string): boolean => /^text\/html\b/i.test(contentType);

export const webPageFailure = (status: number, { address }: FaultKeys): Failure => ({
  reason: `the server answers HTTP ${status} with a web page`,
  fault: 'not_found',
  mend: `this is a web site, not a receiver of profiles: correct the host, port or path in ${address}`,
});
