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
    return { fault: 'tenant', mend: `name a tenant that the receiver knows: ${keys.tenant}` };
  if (WANTS_TLS.test(text))
    return { fault: 'wrong_protocol', mend: `write https:// in ${keys.address}` };
  if (VERSION.test(text))
    return {
      fault: 'unsupported',
      mend: 'the receiver speaks another version of OTLP profiles: update it, or Flametap',
    };
  if (ENCODING.test(text) && keys.encoding !== '')
    return { fault: 'unsupported', mend: `choose another ${keys.encoding}` };
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
      mend: `redirects are not followed, as credentials would go along: write ${to} into ${address}`,
    };
  }
  const told = status >= 400 && status < 500 ? faultInWords(text, keys) : undefined;
  if (told) return told;
  switch (status) {
    case 401:
      return { fault: 'unauthenticated', mend: `set or renew the credentials: ${credentials}` };
    case 402:
      return { fault: 'quota', mend: `renew what is paid for, or send elsewhere: ${address}` };
    case 403:
    case 451:
      return {
        fault: 'forbidden',
        mend: `let these credentials write profiles, or use others: ${credentials}`,
      };
    case 404:
    case 405:
    case 410:
    case 421:
    case 501:
      return {
        fault: 'not_found',
        mend: `nothing takes profiles there: correct host, port and path in ${address}`,
      };
    case 406:
    case 415:
      return {
        fault: 'unsupported',
        mend:
          encoding === '' ? `is it the right receiver? ${address}` : `choose another ${encoding}`,
      };
    case 407:
      return {
        fault: 'proxy',
        mend: 'the proxy wants credentials: write http://USER:PASSWORD@HOST:PORT into HTTPS_PROXY or HTTP_PROXY, or name the receiver in NO_PROXY',
      };
    case 426:
    case 505:
      return { fault: 'wrong_protocol', mend: `another protocol is wanted there: ${address}` };
    case 431:
      return { fault: 'unauthenticated', mend: `send fewer or shorter headers: ${credentials}` };
    default:
      // 500 is said of requests that cannot be understood, and of data bases that are down.
      return status >= 500
        ? {
            fault: 'server_error',
            mend: "look into the receiver's log",
            isDoubtful: true,
          }
        : undefined;
  }
}

/** A page for people: whatever takes profiles answers with none. */
export const isWebPage = (contentType: string): boolean => /^text\/html\b/i.test(contentType);

export const webPageFailure = (status: number, { address }: FaultKeys): Failure => ({
  reason: `it answers HTTP ${status} with a page for people`,
  fault: 'not_found',
  mend: `this is a web site, no receiver: correct host, port and path in ${address}`,
});
