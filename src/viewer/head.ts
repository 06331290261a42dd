/** As much of a request's head as tells who asks for what: read when there is no time for all of it. */

export interface Head {
  readonly method: string;
  /** As it was asked for: a path with its parameters, if all is well. */
  readonly url: string;
  /** By names in lower case; of those that are there twice the first. */
  readonly headers: Readonly<Partial<Record<'authorization' | 'cookie', string | undefined>>>;
}

const HEADER = /^(authorization|cookie):[ \t]*(.*?)[ \t]*$/i;

/** @param text without the empty line that ends it. Of a malformed one what can be found */
export function headOf(text: string): Head {
  const [first = '', ...lines] = text.split('\r\n');
  const [method = '', url = ''] = first.split(' ', 2);
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const [, name, value] = HEADER.exec(line) ?? [];
    if (name !== undefined) headers[name.toLowerCase()] ??= value!;
  }
  return { method, url, headers };
}
