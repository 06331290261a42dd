/**
 * System packages: finds out what is missing by looking for the command, the
 * header or the file itself (so hand-installed tools count), and installs it through apt
 * when that is possible. Runs on plain Node 20 before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { EXIT_MACHINE, SetupError, say } from './say.mjs';

/** libbpf 1.0 made the API that the addon uses; Debian 12 has 1.1, Ubuntu 24.04 has 1.3. */
const LIBBPF_MAJOR = 1;
const INCLUDE_FOLDERS = ['/usr/include', '/usr/include/x86_64-linux-gnu', '/usr/local/include'];
/** Debian keeps capsh and friends where a user's PATH does not look. */
const MORE_COMMAND_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/go/bin'];

/**
 * @typedef {{ apt: string[], dnf: string, apk: string, command?: string, also?: string[], header?: string, file?: string, reason: string }} SystemPackage
 *   `also`: more commands of it that tests call
 */

/** What must be there. @param {SystemPackage} one */
export const targetOf = (one) => one.command ?? one.header ?? one.file ?? '';

/**
 * @param {string} file packages.json
 * @param {string[]} lists
 * @returns {SystemPackage[]} without repeats
 */
export function readPackageLists(file, lists) {
  const all = JSON.parse(readFileSync(file, 'utf8'));
  const byTarget = new Map();
  for (const list of lists) for (const wanted of all[list]) byTarget.set(targetOf(wanted), wanted);
  return [...byTarget.values()];
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * @param {string} command
 * @param {string} path
 * @returns {string | undefined}
 */
export function findCommand(command, path = process.env.PATH ?? '') {
  return [...path.split(delimiter).filter(Boolean), ...MORE_COMMAND_FOLDERS]
    .map((folder) => join(folder, command))
    .find(isExecutable);
}

/** @param {string} header */
function findHeader(header) {
  return INCLUDE_FOLDERS.map((folder) => join(folder, header)).find((file) => existsSync(file));
}

/**
 * @param {SystemPackage[]} wanted
 * @param {string} [path]
 * @returns {SystemPackage[]}
 */
export function missingPackages(wanted, path) {
  return wanted.filter((one) => {
    if (one.command) return !findCommand(one.command, path);
    return one.file ? !existsSync(one.file) : !findHeader(one.header ?? '');
  });
}

/**
 * @param {SystemPackage[]} missing
 * @returns {string} one command for each package manager
 */
export function installCommands(missing) {
  const names = (/** @type {(one: SystemPackage) => string} */ pick) =>
    [...new Set(missing.flatMap((one) => pick(one).split(' ')))].join(' ');
  return [
    `  apt: sudo apt-get update && sudo apt-get install -y ${names((one) => one.apt[0] ?? '')}`,
    `  dnf: sudo dnf install -y ${names((one) => one.dnf)}`,
    `  apk: sudo apk add ${names((one) => one.apk)}`,
  ].join('\n');
}

/**
 * @param {string} command
 * @param {string[]} args
 */
function runQuietly(command, args) {
  return spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    maxBuffer: 64 << 20,
  });
}

/** @param {string} name */
function aptKnows(name) {
  const shown = runQuietly('apt-cache', ['policy', name]).stdout ?? '';
  return /Candidate: (?!\(none\))/.test(shown);
}

/** @param {SystemPackage} one */
function aptName(one) {
  return one.apt.find(aptKnows);
}

/** @param {SystemPackage[]} missing */
function installWithApt(missing) {
  if (missing.some((one) => aptName(one) === undefined)) updateApt();
  const names = missing.map((one) => aptName(one) ?? one.apt[0] ?? '');
  say(`installing ${names.join(' ')} through apt`);
  const args = ['install', '-y', '-q', '--no-install-recommends', ...names];
  let result = runQuietly('apt-get', args);
  if (result.status !== 0) {
    // Package lists older than the mirror answer 404: fetch them and try once more.
    updateApt();
    result = runQuietly('apt-get', args);
  }
  if (result.status !== 0)
    throw new SetupError(
      `apt-get failed:\n${lastLines(result.stderr || result.stdout || String(result.error))}\n` +
        `Run this yourself, then start again:\n  apt-get install -y ${names.join(' ')}`,
    );
}

function updateApt() {
  say('fetching package lists (apt-get update)');
  const result = runQuietly('apt-get', ['update', '-q']);
  if (result.status !== 0) say(`apt-get update failed: ${lastLines(result.stderr ?? '')}`);
}

/** @param {string} text */
function lastLines(text) {
  return text.trim().split('\n').slice(-5).join('\n');
}

/** @param {SystemPackage[]} wanted */
export function ensurePackages(wanted) {
  const missing = missingPackages(wanted);
  if (missing.length > 0) {
    const canInstall = process.getuid?.() === 0 && findCommand('apt-get') !== undefined;
    if (!canInstall)
      throw new SetupError(
        `these are missing: ${missing.map(targetOf).join(', ')}.\n` +
          `Install them with the line for your system, then start again:\n${installCommands(missing)}`,
        EXIT_MACHINE,
      );
    installWithApt(missing);
    const still = missingPackages(missing);
    if (still.length > 0)
      throw new SetupError(
        `still missing after apt-get: ${still.map((one) => `${targetOf(one)} (${one.reason})`).join(', ')}`,
        EXIT_MACHINE,
      );
  }
  checkLibbpf();
}

function checkLibbpf() {
  const header = findHeader('bpf/libbpf_version.h');
  const text = header ? readFileSync(header, 'utf8') : '';
  const major = Number(/LIBBPF_MAJOR_VERSION\s+(\d+)/.exec(text)?.[1] ?? 0);
  if (major < LIBBPF_MAJOR)
    throw new SetupError(
      `libbpf ${LIBBPF_MAJOR}.0 or later is needed, this system has an older one (Debian 12 and Ubuntu 24.04 are new enough)`,
      EXIT_MACHINE,
    );
}
