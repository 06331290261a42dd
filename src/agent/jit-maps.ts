/**
 * What run times write about the code that they generate, read on as it grows:
 * `jit-PID.dump` where the process maps one, else `/tmp/perf-PID.map`.
 */
import type { FileAccess } from '../elf/file-access.ts';
import type { CpuDebt } from '../process/cpu-debt.ts';
import type { ProcessHost } from '../process/host.ts';
import type { Process } from '../process/process.ts';
import { pageOf } from '../symbolize/code-pages.ts';
import type { JitSymbol } from '../symbolize/jit-name.ts';
import type { ProcessAddress } from '../units/units.ts';
import { GeneratedCode, type ReadingTime } from './generated-code.ts';
import { JitDumpScan, newChunk, PerfMapScan } from './growing-file.ts';
import { isNamed, type OpenCodeFile, openDump, openMap } from './jit-files.ts';
import { ReadingBudget } from './reading-budget.ts';

/** Memory for the code of all processes; a usual one has less than 100 KiB in sampled pages. */
const MAX_BYTES = 16 << 20;
/** Files kept open, so that they can be read when their process has ended. */
const MAX_OPEN = 64;
/** Flushes without a sample after which a process's files are forgotten. */
const KEPT_FLUSHES = 30;

/** One file of one process. */
interface CodeFile {
  readonly code: GeneratedCode;
  /** Undefined when it was closed for want of descriptors, and is not there any longer. */
  open: OpenCodeFile | undefined;
  /** Of the file that was read. */
  identity: string;
}

interface Followed {
  readonly account: CpuDebt;
  /** Flush in which it was last asked for. */
  flush: number;
  /** Flush in which its files were last looked at. */
  readAt: number;
  /** Pages of this flush. */
  readonly wanted: Set<number>;
  /** Of the process, while it lived. */
  userIds: readonly number[] | undefined;
  bytes: number;
  map: CodeFile | undefined;
  dump: CodeFile | undefined;
}

export class JitMaps {
  readonly #host: ProcessHost;
  readonly #budget: ReadingBudget;
  /** The least recently asked for first. */
  readonly #followed = new Map<string, Followed>();
  readonly #chunk = newChunk();
  /** Of processes that were forgotten, and of all together. */
  readonly #pastProblems = new Map<string, number>();
  #flush = 0;
  #bytes = 0;
  #open = 0;

  constructor(host: ProcessHost, budget = new ReadingBudget()) {
    this.#host = host;
    this.#budget = budget;
  }

  /** What was refused, by reason: `perf_map_line_malformed`, `jitdump_version` and so on. */
  get problems(): ReadonlyMap<string, number> {
    const all = new Map(this.#pastProblems);
    for (const followed of this.#followed.values()) addProblems(all, followed);
    return all;
  }

  /** Begins a flush: each file is read on once in it. */
  refresh(): void {
    this.#flush++;
    for (const [key, followed] of this.#followed) {
      if (this.#flush - followed.flush > KEPT_FLUSHES) this.#forget(key, followed);
    }
  }

  /** Announces a look-up of this flush; all of a process come before its first look-up. */
  want(process: Process, address: ProcessAddress): void {
    this.#of(process).wanted.add(pageOf(address));
  }

  lookup(process: Process, address: ProcessAddress): JitSymbol | undefined {
    const followed = this.#of(process);
    if (followed.readAt !== this.#flush) {
      followed.wanted.add(pageOf(address));
      this.#readOn(process, followed);
    }
    return followed.dump?.code.lookup(address) ?? followed.map?.code.lookup(address);
  }

  /** Closes all files. */
  close(): void {
    for (const [key, followed] of this.#followed) this.#forget(key, followed);
  }

  #of({ identity: { pid, startNs, execId } }: Process): Followed {
    const key = `${pid}:${startNs}:${execId}`;
    const known = this.#followed.get(key);
    if (known?.flush === this.#flush) return known;
    const followed = known ?? this.#newFollowed();
    followed.flush = this.#flush;
    followed.wanted.clear();
    // Moved to the end.
    this.#followed.delete(key);
    this.#followed.set(key, followed);
    return followed;
  }

  #newFollowed(): Followed {
    return {
      account: this.#budget.account(),
      flush: this.#flush,
      readAt: this.#flush - 1,
      wanted: new Set(),
      userIds: undefined,
      bytes: 0,
      map: undefined,
      dump: undefined,
    };
  }

  /** What the file system refuses is looked for again at the next flush. */
  #readOn(process: Process, followed: Followed): void {
    followed.readAt = this.#flush;
    followed.userIds ??= this.#host.userIds(process.identity.pid);
    this.#reopen(followed, 'dump', () => openDump(this.#host, process));
    this.#reopen(followed, 'map', () => openMap(this.#host, process, followed.userIds));
    this.#budget.spend(followed.account, (time) => {
      for (const file of [followed.dump, followed.map]) {
        if (file) this.#readFile(file, followed.wanted, time);
      }
    });
    this.#weigh(followed);
    this.#makeRoom(followed);
  }

  /** Finds the file if it was not there, and the one that has taken its place. */
  #reopen(
    followed: Followed,
    which: 'map' | 'dump',
    open: () => OpenCodeFile | 'foreign' | undefined,
  ): void {
    const file = followed[which];
    if (file?.open && isNamed(this.#host, file.open)) return;
    const found = open();
    if (found === 'foreign') {
      this.#count('perf_map_of_another_user');
      return;
    }
    if (!found) return;
    this.#open++;
    if (!file) {
      followed[which] = {
        code: newCode(which, this.#chunk, this.#host.files),
        open: found,
        identity: found.identity,
      };
      return;
    }
    this.#close(file);
    if (found.identity !== file.identity) file.code.restart();
    file.open = found;
    file.identity = found.identity;
  }

  #readFile({ code, open }: CodeFile, wanted: ReadonlySet<number>, time: ReadingTime): void {
    for (const page of wanted) code.want(page, this.#flush);
    if (!open) {
      code.gone();
      return;
    }
    try {
      code.readOn(open.fd, this.#host.files.state(open.fd).size, this.#flush, time);
    } catch {
      // It became shorter meanwhile, or its file system is in trouble.
      code.restart();
    }
  }

  #weigh(followed: Followed): void {
    const bytes = (followed.dump?.code.bytes ?? 0) + (followed.map?.code.bytes ?? 0);
    this.#bytes += bytes - followed.bytes;
    followed.bytes = bytes;
  }

  /** Least recently asked for first; those of this flush stay, and the last one goes without. */
  #makeRoom(latest: Followed): void {
    for (const [key, followed] of this.#followed) {
      if (this.#bytes <= MAX_BYTES) break;
      if (followed.flush === this.#flush) break;
      this.#count('jit_code_forgotten');
      this.#forget(key, followed);
    }
    if (this.#bytes > MAX_BYTES) {
      this.#count('jit_code_refused');
      latest.dump?.code.restart();
      latest.map?.code.restart();
      this.#weigh(latest);
    }
    for (const followed of this.#followed.values()) {
      if (this.#open <= MAX_OPEN) break;
      this.#close(followed.dump);
      this.#close(followed.map);
    }
  }

  #forget(key: string, followed: Followed): void {
    addProblems(this.#pastProblems, followed);
    this.#close(followed.dump);
    this.#close(followed.map);
    this.#bytes -= followed.bytes;
    this.#followed.delete(key);
  }

  #close(file: CodeFile | undefined): void {
    if (!file?.open) return;
    this.#host.files.close(file.open.fd);
    file.open = undefined;
    this.#open--;
  }

  #count(reason: string): void {
    this.#pastProblems.set(reason, (this.#pastProblems.get(reason) ?? 0) + 1);
  }
}

function newCode(which: 'map' | 'dump', chunk: Uint8Array, files: FileAccess): GeneratedCode {
  const Scan = which === 'map' ? PerfMapScan : JitDumpScan;
  return new GeneratedCode((pages) => new Scan(pages, chunk, files));
}

function addProblems(target: Map<string, number>, { map, dump }: Followed): void {
  const add = (prefix: string, problems: ReadonlyMap<string, number> | undefined) => {
    for (const [reason, count] of problems ?? []) {
      const name = `${prefix}_${reason}`;
      target.set(name, (target.get(name) ?? 0) + count);
    }
  };
  add('perf_map', map?.code.problems);
  add('jitdump', dump?.code.problems);
}
