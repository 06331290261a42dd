/** What a browser shows that opens the page without its token. */
import { createHash } from 'node:crypto';
import type { Answer } from './answer.ts';

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1.5em;color:#1c2330;background:#f7f8fa}code{font:15px ui-monospace,monospace;background:#e6e9ef;padding:.15em .4em;border-radius:4px}h1{font-size:1.4em}@media(prefers-color-scheme:dark){body{color:#dfe4ee;background:#14181f}code{background:#262d38}}';
const hash = createHash('sha256').update(STYLE).digest('base64');

/** Nothing runs, nothing is loaded. */
export const REFUSED_POLICY = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const HTML = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Flametap: the token is missing</title>
<style>${STYLE}</style>
<h1>This page needs its token</h1>
<p>It shows what every process of the machine does, so it opens only for those who have the
agent’s token: root, the agent’s own user, and whoever they give it to.</p>
<p>Open the address that the agent printed when it started, or the one that this command prints
for root or the agent’s user:</p>
<p><code>flametap view --address</code></p>
<p>After that this browser is known until the agent ends, and links to a trace work.</p>
`;

export const refusedPage: Answer = {
  status: 401,
  type: 'text/html; charset=utf-8',
  body: HTML,
  headers: {
    'WWW-Authenticate': 'Bearer realm="flametap"',
    'Content-Security-Policy': REFUSED_POLICY,
  },
};
