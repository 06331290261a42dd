/**
 * Bundles the flame graph page into one template, `page.html`: script and style
 * inline and known to the content security policy by their hashes.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const source = fileURLToPath(new URL('../src/viewer/page/', import.meta.url));

const hash = (text: string): string =>
  `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Puts `value` in the place of a marker that must be there once. */
function fill(text: string, marker: string, value: string): string {
  const parts = text.split(marker);
  if (parts.length !== 2) throw new Error(`index.html must have ${marker} once`);
  return parts.join(value);
}

async function bundle(entry: string): Promise<string> {
  const result = await build({
    entryPoints: [join(source, entry)],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: ['chrome114', 'firefox125', 'safari17'],
    charset: 'utf8',
    legalComments: 'none',
  });
  // The only places where text could end the element it is in.
  return result.outputFiles[0]!.text.trim()
    .replaceAll('</script', '<\\/script')
    .replaceAll('<!--', '<\\!--');
}

/** Writes `page.html` into `outDir`, which need not exist; answers its path. */
export async function buildPage(outDir: string): Promise<string> {
  const [template, script, style] = await Promise.all([
    readFile(join(source, 'index.html'), 'utf8'),
    bundle('main.ts'),
    bundle('page.css'),
  ]);
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  let page = fill(template, '/*flametap:style*/', style);
  page = fill(page, '/*flametap:script*/', script);
  page = fill(
    page,
    '<!--flametap:csp-->',
    `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
  );
  await mkdir(outDir, { recursive: true });
  const path = join(outDir, 'page.html');
  await writeFile(path, page);
  return path;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  await buildPage(argv[2] ?? fileURLToPath(new URL('../dist/', import.meta.url)));
}
