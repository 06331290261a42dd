/** Which proxy the environment names for an address: Node and grpc-js obey it, messages name it. */

export interface ProxyInUse {
  /** Without credentials. */
  readonly url: string;
  /** Such as HTTPS_PROXY. */
  readonly variable: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** As node:http does it with `proxyEnv`: small letters first. */
export function httpProxy(url: URL, environment: Environment): ProxyInUse | undefined {
  const name = url.protocol === 'https:' ? 'https_proxy' : 'http_proxy';
  const exempt = environment.no_proxy ?? environment.NO_PROXY;
  if (isExempt(url.hostname, url.port || defaultPort(url), exempt)) return undefined;
  return named([name, name.toUpperCase()], environment);
}

/** As grpc-js does it: small letters only. @param target host:port */
export function grpcProxy(target: string, environment: Environment): ProxyInUse | undefined {
  const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(target) ?? [];
  const exempt = environment.no_grpc_proxy || environment.no_proxy;
  if (isExempt(host, port, exempt)) return undefined;
  return named(['grpc_proxy', 'https_proxy', 'http_proxy'], environment);
}

/** For messages. */
export const through = (proxy: ProxyInUse | undefined): string =>
  proxy === undefined ? '' : ` through the proxy ${proxy.url} (${proxy.variable})`;

const defaultPort = ({ protocol }: URL): string => (protocol === 'https:' ? '443' : '80');

function named(variables: readonly string[], environment: Environment): ProxyInUse | undefined {
  const variable = variables.find((name) => environment[name]);
  const url = variable === undefined ? null : URL.parse(environment[variable]!);
  return url === null ? undefined : { url: `${url.protocol}//${url.host}`, variable: variable! };
}

/** Hosts, `.suffix` and `*.suffix`, each also with a port, or `*` for all. */
function isExempt(host: string, port: string, list = ''): boolean {
  const name = host.toLowerCase();
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === '') return false;
      if (entry === '*') return true;
      const [, pattern = entry, wanted = port] = /^(.*[^:]):(\d+)$/.exec(entry) ?? [];
      if (wanted !== port) return false;
      const suffix = pattern.replace(/^\*/, '');
      return suffix.startsWith('.') ? name.endsWith(suffix) : name === pattern;
    });
}
