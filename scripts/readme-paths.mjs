/**
 * Names of files in the READMEs that are not in the tree: a README that points
 * to nothing is worse than none. Run by `npm run check`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Made by the set-up, not in git. */
const BUILT = /^(build|dist|node_modules)\//;
const EXTENSION = /\.(ts|mjs|json|md|c|cc|h|sh|png|html|css|proto|yaml|o|node)$/;

/**
 * @param {string} text of a README
 * @returns {string[]} targets of links, and code spans that look like paths
 */
export function mentionedPaths(text) {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '');
  const links = [...prose.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)].map((match) => match[1] ?? '');
  const spans = [...prose.matchAll(/`([^`\s]+)`/g)]
    .map((match) => match[1] ?? '')
    // Not `.cc`, which is a kind of file.
    .filter((span) => /^[\w.-][\w./-]*$/.test(span) && !/^\.\w+$/.test(span))
    .filter((span) => EXTENSION.test(span) || /^[\w.-]+\/([\w.-]+\/?)*$/.test(span));
  return [...links.filter((link) => !/^[a-z]+:/.test(link)), ...spans];
}

/**
 * @param {string} root
 * @param {string} readme path below root
 * @param {string} text
 * @returns {string[]} what is mentioned and found neither beside the README nor at the root
 */
export function danglingPaths(root, readme, text) {
  return mentionedPaths(text).filter((path) => {
    const places = [join(dirname(readme), path), path].map((place) => normalize(place));
    return !places.some((place) => BUILT.test(place) || existsSync(join(root, place)));
  });
}

/** @param {string} root */
function checkReadmes(root) {
  const listed = spawnSync('git', ['ls-files', '-co', '--exclude-standard', '*README.md'], {
    cwd: root,
    encoding: 'utf8',
  });
  const readmes = listed.stdout
    .split('\n')
    .filter((file) => file !== '' && existsSync(join(root, file)));
  return readmes.flatMap((readme) =>
    danglingPaths(root, readme, readFileSync(join(root, readme), 'utf8')).map(
      (path) => `${readme}: there is no ${path}`,
    ),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problems = checkReadmes(dirname(dirname(fileURLToPath(import.meta.url))));
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
