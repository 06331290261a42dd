/** Where the viewer listens, and which Host headers may reach it. */
import { isIPv6 } from 'node:net';
import { isLoopback } from '../units/loopback.ts';

export { isLoopback };

export class ViewerError extends Error {
  override readonly name = 'ViewerError';
}

export interface ListenAddress {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  readonly loopback: boolean;
}

/** '127.0.0.1:7099', '[::1]:7099', 'localhost:0'; port 0 = any that is free. */
export function listenAddress(
  listen: string | { readonly host: string; readonly port: number },
): ListenAddress {
  if (typeof listen !== 'string') return { ...listen, loopback: isLoopback(listen.host) };
  const match = /^(?:\[([^\]]+)\]|([^:\]]*)):(\d{1,5})$/.exec(listen);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2] ?? '';
  if (!match || port > 65_535 || host === '' || (match[1] !== undefined && !isIPv6(host))) {
    throw new ViewerError(
      `'${listen}' is no address to listen on: write host:port, as in 127.0.0.1:7099`,
    );
  }
  return { host, port, loopback: isLoopback(host) };
}

/**
 * True for a Host header that names this machine itself. A page elsewhere that
 * points its own name at 127.0.0.1 (DNS rebinding) sends that name here.
 */
export function isLoopbackHostHeader(header: string | undefined): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([^:[\]]{1,253}))(?::\d{1,5})?$/.exec(header ?? '');
  return match !== null && isLoopback(match[1] ?? match[2]!);
}

/** As it stands in a URL. */
export const inUrl = (host: string): string => (isIPv6(host) ? `[${host}]` : host);
