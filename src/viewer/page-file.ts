/**
 * The built page (`scripts/build-page.ts`) as a template, and filling it in.
 * Data enters in one place, a script element that no browser executes.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface PageTemplate {
  /** Content security policy of the page itself: no network, script and style by hash. */
  readonly policy: string;
  readonly html: string;
}

export type PageMode = 'live' | 'json' | 'gzip';

export interface PageContent {
  readonly mode: PageMode;
  /** Plain text; shown before the script runs and in the browser's tab. */
  readonly title: string;
  /** Must not contain `<`: JSON with `<` escaped, or base64. Empty when live. */
  readonly data: string;
}

export class PageError extends Error {
  override readonly name = 'PageError';
}

const META = /<meta http-equiv="Content-Security-Policy" content="([^"]*)">/;
const MARKERS = ['<!--flametap:title-->', '<!--flametap:mode-->', '<!--flametap:data-->'] as const;

// Beside a bundled program, or in dist/ when the sources run as they are.
const PLACES = ['./page.html', '../../dist/page.html'];

/** Reads the built page; throws PageError when it was not built or is not one. */
export function readPage(path?: string): PageTemplate {
  const places = path
    ? [path]
    : PLACES.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  for (const place of places) {
    let html: string;
    try {
      html = readFileSync(place, 'utf8');
    } catch {
      continue;
    }
    const policy = META.exec(html)?.[1];
    if (policy === undefined || MARKERS.some((marker) => html.split(marker).length !== 2)) {
      throw new PageError(`${place} is not a page template; build it again`);
    }
    return { policy, html };
  }
  throw new PageError(`the flame graph page is not built (${places.join(', ')}): npm run build`);
}

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

/** The whole document. A live page gets its policy from the server's header instead. */
export function renderPage(template: PageTemplate, content: PageContent): string {
  if (content.data.includes('<')) throw new PageError('the data would end its element');
  let html = template.html;
  if (content.mode === 'live') html = html.replace(META, '');
  const values = [escapeHtml(content.title), content.mode, content.data];
  // Last first: a marker inside of a value is never looked at.
  for (let at = MARKERS.length - 1; at >= 0; at--) {
    const place = html.indexOf(MARKERS[at]!);
    html = html.slice(0, place) + values[at]! + html.slice(place + MARKERS[at]!.length);
  }
  return html;
}

/** Policy for the live page's header: the same, with requests to its own server. */
export const livePolicy = (template: PageTemplate): string =>
  `${template.policy}; connect-src 'self'; frame-ancestors 'none'`;
