/**
 * Requests on disk: segment files in the order of their entries, and the
 * position. Appends at the end, reads and removes at the beginning. One user at
 * a time, which the folder's lock sees to.
 */
import type { EntryHeader } from './entry.ts';
import { HEADER_BYTES } from './entry.ts';
import { PositionFile } from './position-file.ts';
import type { QueueFolder } from './queue-folder.ts';
import { firstSequence, isSegmentName, Segment, segmentName } from './segment.ts';

const DAMAGED = '.damaged';
/** For people to look at: a few are enough. */
const MAX_DAMAGED_FILES = 4;
const MAX_DAMAGED_BYTES = 1 << 20;

export interface StoredEntry {
  readonly sequence: number;
  /** Milliseconds since 1970. */
  readonly time: number;
}

export interface StoreEvents {
  /** Entries that can no longer be read, so many at least; `uncounted` of them were not in `count`. */
  damaged(entries: number, uncounted: number, what: string): void;
  /** The disk refuses something without which the queue goes on. */
  failed(what: string, cause: unknown): void;
}

export class SegmentStore {
  readonly #folder: QueueFolder;
  readonly #segmentBytes: number;
  readonly #events: StoreEvents;
  readonly #position: PositionFile;
  /** Of the first entry that is still wanted; the position, when the disk takes it. */
  #wanted: number;
  /** Oldest first. */
  readonly #segments: Segment[] = [];
  /** Takes appends; the last of `#segments`, or none yet. */
  #active: Segment | undefined;
  #bytes = 0;
  #count = 0;
  #nextSequence: number;
  #latestTime = 0;
  #head: { readonly header: EntryHeader; readonly next: number } | undefined;
  readonly #unsynced = new Set<Segment>();
  #namesUnsynced = false;
  #positionUnsynced = false;

  /**
   * Goes through what is there by its headers. Of requests it reads the last,
   * which a crash may have cut; every other is checked when it is sent.
   * @throws Error of the file system when the folder cannot be used
   */
  constructor(folder: QueueFolder, segmentBytes: number, events: StoreEvents) {
    this.#folder = folder;
    this.#segmentBytes = segmentBytes;
    this.#events = events;
    this.#position = new PositionFile(folder);
    this.#nextSequence = this.#position.sequence;
    this.#wanted = this.#position.sequence;
    try {
      const names = folder.list().filter(isSegmentName).sort();
      for (const name of names) this.#load(name, name === names.at(-1));
    } catch (cause) {
      // It is tried again and again: nothing may stay open.
      this.#closeFiles();
      throw cause;
    }
  }

  /** Of the files, what is worked off but not yet removed included. */
  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#count;
  }

  /** Larger than every sequence number that was ever written here and kept. */
  get nextSequence(): number {
    return this.#nextSequence;
  }

  /** Of all that is here, milliseconds since 1970; 0 = nothing is. */
  get latestTime(): number {
    return this.#latestTime;
  }

  get needsSync(): boolean {
    return this.#unsynced.size > 0 || this.#namesUnsynced || this.#positionUnsynced;
  }

  /** @throws Error of the file system; then nothing was appended */
  append(sequence: number, time: number, request: Uint8Array): void {
    const bytes = HEADER_BYTES + request.length;
    const full = this.#active !== undefined && this.#active.size + bytes > this.#segmentBytes;
    if (full && this.#active!.size > 0) this.#active = undefined;
    const segment = this.#active ?? this.#begin(sequence);
    try {
      segment.append(sequence, time, request);
    } catch (cause) {
      this.#undo(segment);
      throw cause;
    }
    this.#unsynced.add(segment);
    this.#bytes += bytes;
    this.#count++;
    this.#nextSequence = sequence + 1;
    this.#latestTime = Math.max(this.#latestTime, time);
  }

  /** The oldest entry, unread. */
  first(): StoredEntry | undefined {
    while (this.#count > 0 && this.#head === undefined) this.#seek();
    return this.#head?.header;
  }

  /** The request of the oldest entry that can be read; those before it are counted as damaged. */
  readFirst(): { readonly sequence: number; readonly request: Uint8Array } | undefined {
    while (this.first() !== undefined) {
      const segment = this.#segments[0]!;
      const { header, next } = this.#head!;
      try {
        const request = segment.request(segment.offset, header);
        if (request !== undefined) return { sequence: header.sequence, request };
        this.#keepAside(segment, segment.offset, next);
        this.#events.damaged(1, 0, `an entry of ${segment.name} is not as it was written`);
      } catch (cause) {
        this.#events.damaged(1, 0, `an entry of ${segment.name} cannot be read: ${message(cause)}`);
      }
      this.removeFirst();
    }
    return undefined;
  }

  /** The request behind the first, unless damage makes it unsure which one that is. Changes nothing. */
  readSecond(): { readonly sequence: number; readonly request: Uint8Array } | undefined {
    const [segment, following] = this.#segments;
    if (this.#count < 2 || segment === undefined || this.#head === undefined) return undefined;
    try {
      const isBehind = segment.remaining > 1;
      const from = isBehind ? segment : following;
      const at = isBehind ? this.#head.next : following?.offset;
      if (from === undefined || at === undefined) return undefined;
      const found = from.find(at);
      const request = found.kind === 'entry' ? from.request(at, found.header) : undefined;
      if (found.kind !== 'entry' || request === undefined) return undefined;
      return { sequence: found.header.sequence, request };
    } catch {
      // It is told when its turn comes.
      return undefined;
    }
  }

  /** Removes what first() returned. */
  removeFirst(): void {
    const { header, next } = this.#head!;
    const segment = this.#segments[0]!;
    segment.offset = next;
    segment.remaining--;
    this.#count--;
    this.#head = undefined;
    this.#savePosition(header.sequence + 1);
    if (segment.remaining === 0 && segment !== this.#active) this.#removeSegment();
  }

  /** Gives back the room of the oldest segment. @returns how many entries went with it */
  dropSegment(): number {
    const segment = this.#segments[0];
    if (segment === undefined) return 0;
    const dropped = segment.remaining;
    const next = this.#segments[1];
    this.#count -= dropped;
    this.#head = undefined;
    if (segment === this.#active) this.#active = undefined;
    // First the position: a crash in between must not bring back what was counted as dropped.
    const sequence = next === undefined ? this.#nextSequence : firstSequence(next);
    this.#savePosition(sequence);
    this.#removeSegment();
    return dropped;
  }

  /** What was appended and removed so far is on the disk when it returns. @throws Error of the file system */
  sync(): void {
    for (const segment of this.#unsynced) this.#folder.sync(segment.file);
    this.#unsynced.clear();
    if (this.#namesUnsynced) this.#folder.syncNames();
    this.#namesUnsynced = false;
    if (this.#positionUnsynced) this.#folder.sync(this.#position.file);
    this.#positionUnsynced = false;
  }

  /** As sync(), without waiting. No other may be under way. */
  syncLater(done: () => void): void {
    const segments = [...this.#unsynced];
    this.#unsynced.clear();
    const steps: ((next: (error?: Error) => void) => void)[] = segments.map((segment) => (next) => {
      // Removed in the meantime: its descriptor is closed and may be another file's.
      if (!this.#segments.includes(segment)) next();
      else this.#folder.syncLater(segment.file, next);
    });
    if (this.#namesUnsynced) steps.push((next) => this.#folder.syncNamesLater(next));
    this.#namesUnsynced = false;
    if (this.#positionUnsynced) {
      steps.push((next) => this.#folder.syncLater(this.#position.file, next));
    }
    this.#positionUnsynced = false;
    const run = (error?: Error): void => {
      if (error !== undefined) this.#syncFailed(error);
      const step = steps.shift();
      if (step === undefined) done();
      else step(run);
    };
    run();
  }

  /** No sync may be under way. */
  close(): void {
    try {
      this.sync();
    } catch (cause) {
      this.#syncFailed(cause);
    }
    this.#closeFiles();
    this.#folder.close();
  }

  #closeFiles(): void {
    for (const segment of this.#segments) this.#folder.closeFile(segment.file);
    this.#position.close();
  }

  #load(name: string, isLast: boolean): void {
    const segment = new Segment(this.#folder, name, this.#folder.open(name));
    let at = 0;
    let damagedAt = -1;
    let expected = Math.max(firstSequence(segment), this.#wanted);
    for (let found = segment.find(at); found.kind !== 'end'; found = segment.find(at)) {
      const broken =
        found.kind === 'damage' ? found.isTail : isLast && this.#isTornTail(segment, at, found);
      if (broken) {
        this.#cutTail(segment, at);
        break;
      }
      if (found.kind === 'damage') damagedAt = at;
      if (found.kind === 'entry') {
        const { sequence, time } = found.header;
        if (damagedAt >= 0) segment.gaps.set(damagedAt, Math.max(0, sequence - expected));
        damagedAt = -1;
        expected = Math.max(expected, sequence + 1);
        this.#nextSequence = Math.max(this.#nextSequence, sequence + 1);
        this.#latestTime = Math.max(this.#latestTime, time);
        if (sequence >= this.#position.sequence) segment.remaining++;
        else segment.offset = found.next;
      }
      at = found.next;
    }
    // Also of one without entries: if it cannot be removed, its name is taken.
    this.#nextSequence = Math.max(this.#nextSequence, firstSequence(segment) + 1);
    if (segment.remaining === 0) {
      this.#discard(segment);
      return;
    }
    this.#segments.push(segment);
    this.#bytes += segment.size;
    this.#count += segment.remaining;
    // A killed agent may have had no time to.
    this.#unsynced.add(segment);
    this.#namesUnsynced = true;
  }

  /** The last entry was begun, but not all of its bytes arrived. */
  #isTornTail(
    segment: Segment,
    at: number,
    { header, next }: { readonly header: EntryHeader; readonly next: number },
  ): boolean {
    return next === segment.size && segment.request(at, header) === undefined;
  }

  #cutTail(segment: Segment, at: number): void {
    const bytes = segment.size - at;
    this.#keepAside(segment, at, segment.size);
    segment.size = at;
    try {
      segment.cut();
    } catch (cause) {
      this.#events.failed(`cut ${segment.name}`, cause);
    }
    this.#events.damaged(1, 1, `${bytes} bytes at the end of ${segment.name} are no entry`);
  }

  /** For people; when it fails nothing else does. */
  #keepAside(segment: Segment, from: number, to: number): void {
    try {
      const bytes = segment.bytes(from, Math.min(to, from + MAX_DAMAGED_BYTES));
      const others = this.#folder.list().filter((name) => name.endsWith(DAMAGED));
      for (const name of others.sort().slice(0, -MAX_DAMAGED_FILES + 1)) this.#folder.remove(name);
      const name = `${segment.name}.${from}${DAMAGED}`;
      if (others.includes(name)) return;
      const file = this.#folder.create(name);
      this.#folder.write(file, bytes, 0);
      this.#folder.closeFile(file);
    } catch (cause) {
      this.#events.failed('keep damaged entries aside', cause);
    }
  }

  #begin(sequence: number): Segment {
    const name = segmentName(sequence);
    const segment = new Segment(this.#folder, name, this.#folder.create(name));
    this.#namesUnsynced = true;
    this.#segments.push(segment);
    this.#active = segment;
    if (this.#segments[0]!.remaining === 0 && this.#segments.length > 1) this.#removeSegment();
    return segment;
  }

  #undo(segment: Segment): void {
    try {
      segment.cut();
    } catch {
      // What is behind `size` is cut at the next start.
      this.#active = undefined;
    }
    if (segment.size > 0) return;
    this.#active = undefined;
    this.#segments.splice(this.#segments.indexOf(segment), 1);
    this.#discard(segment);
  }

  /** Finds the first wanted entry of the first segment, or removes that segment. */
  #seek(): void {
    const segment = this.#segments[0]!;
    if (segment.remaining === 0) {
      this.#removeSegment();
      return;
    }
    try {
      const found = segment.find(segment.offset);
      if (found.kind === 'entry') {
        this.#head = found;
        return;
      }
      if (found.kind === 'damage' && !found.isTail) {
        this.#keepAside(segment, segment.offset, found.next);
        this.#skipDamage(segment, found.next);
        return;
      }
      this.#events.damaged(segment.remaining, 0, `the end of ${segment.name} is no longer there`);
    } catch (cause) {
      this.#events.damaged(
        segment.remaining,
        0,
        `${segment.name} cannot be read: ${message(cause)}`,
      );
    }
    this.dropSegment();
  }

  /** Sequence numbers tell how many entries were where now is damage; none when all had been delivered. */
  #skipDamage(segment: Segment, next: number): void {
    const found = segment.find(next);
    const missing = found.kind === 'entry' ? Math.max(0, found.header.sequence - this.#wanted) : 1;
    const uncounted = Math.min(missing, segment.gaps.get(segment.offset) ?? 0);
    // What follows is one of those that remain.
    const counted = Math.min(missing - uncounted, segment.remaining - 1);
    segment.remaining -= counted;
    this.#count -= counted;
    segment.offset = next;
    this.#events.damaged(uncounted + counted, uncounted, `a part of ${segment.name} is no entry`);
  }

  #savePosition(sequence: number): void {
    this.#wanted = sequence;
    try {
      this.#position.save(sequence);
      this.#positionUnsynced = true;
    } catch (cause) {
      this.#events.failed('note what was delivered: after a restart it is sent again', cause);
    }
  }

  #removeSegment(): void {
    const segment = this.#segments.shift()!;
    if (segment === this.#active) this.#active = undefined;
    this.#bytes -= segment.size;
    this.#discard(segment);
  }

  #discard(segment: Segment): void {
    this.#unsynced.delete(segment);
    this.#folder.closeFile(segment.file);
    try {
      this.#folder.remove(segment.name);
      this.#namesUnsynced = true;
    } catch (cause) {
      this.#events.failed(`remove ${segment.name}`, cause);
    }
  }

  /** After a failed fsync(2) the kernel may have given up the pages: nothing more goes into that file. */
  #syncFailed(cause: unknown): void {
    this.#active = undefined;
    this.#events.failed('write to the disk for good', cause);
  }
}

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
