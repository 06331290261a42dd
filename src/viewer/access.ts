/** The token that opens a viewer beyond loopback: in a header, once in the URL, then in a cookie. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { ViewerError } from './address.ts';
import type { Head } from './head.ts';

const LEAST_LENGTH = 16;

export type Access =
  | 'granted'
  | 'denied'
  /** The URL held the token: answer with the cookie and the URL without it. */
  | 'granted-by-url';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const same = (first: string, second: string): boolean =>
  timingSafeEqual(digest(first), digest(second));

export class TokenGate {
  readonly #token: string;
  readonly #cookieValue: string;

  constructor(token: string) {
    if (token.length < LEAST_LENGTH || !/^[\x21-\x7e]+$/.test(token)) {
      throw new ViewerError(
        `the viewer's token needs at least ${LEAST_LENGTH} printable characters without spaces`,
      );
    }
    this.#token = token;
    // Not the token itself: a cookie ends up in more places than its owner thinks.
    this.#cookieValue = digest(`flametap viewer cookie\0${token}`).toString('base64url');
  }

  check({ headers }: Pick<Head, 'headers'>, url: URL, port: number): Access {
    const bearer = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(headers.authorization ?? '')?.[1];
    if (bearer !== undefined) return same(bearer, this.#token) ? 'granted' : 'denied';
    const given = url.searchParams.get('token');
    if (given !== null) return same(given, this.#token) ? 'granted-by-url' : 'denied';
    const name = cookieName(port);
    for (const cookie of (headers.cookie ?? '').split(';')) {
      const [key, value] = cookie.trim().split('=', 2);
      if (key === name && value !== undefined && same(value, this.#cookieValue)) return 'granted';
    }
    return 'denied';
  }

  /** Lax: a link from a chat must work, and nothing here changes anything. */
  cookie(port: number): string {
    const age = 30 * 24 * 3_600;
    return `${cookieName(port)}=${this.#cookieValue}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${age}`;
  }
}

// Cookies ignore ports: two agents on one host must not overwrite each other's.
const cookieName = (port: number): string => `flametap_${port}`;
