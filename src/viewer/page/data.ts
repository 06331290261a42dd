/** The profile inside this file: plain JSON, or gzip in base64 when it is large. */
import { byId } from './dom.ts';

export type Mode = 'live' | 'json' | 'gzip';

export function pageMode(): Mode {
  const mode = byId('flametap-data', HTMLScriptElement).dataset.mode;
  return mode === 'live' || mode === 'gzip' ? mode : 'json';
}

export async function embeddedData(mode: Mode): Promise<unknown> {
  const text = byId('flametap-data', HTMLScriptElement).textContent ?? '';
  if (mode !== 'gzip') return JSON.parse(text);
  if (!('DecompressionStream' in globalThis)) {
    throw new Error('this browser cannot decompress the data; a newer one can');
  }
  const packed = Uint8Array.from(atob(text.trim()), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return JSON.parse(await new Response(stream).text());
}
