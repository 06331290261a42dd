/**
 * How far a queue was worked off: the sequence number of the first entry that is
 * still wanted. Two records of 16 bytes in pages of their own, written in turn,
 * so that one is whole whatever happens to the other; the larger one counts.
 * Little endian: magic u32, sequence u64, CRC-32 of these u32.
 */
import { crc32 } from 'node:zlib';
import type { QueueFolder } from './queue-folder.ts';

const NAME = 'position';
const MAGIC = 0x50515446; // FTQP
const RECORD_BYTES = 16;
const SLOTS = [0, 4096];

export class PositionFile {
  readonly #folder: QueueFolder;
  readonly #file: number;
  #slot: number;
  #sequence: number;

  /** @throws Error of the file system */
  constructor(folder: QueueFolder) {
    this.#folder = folder;
    this.#file = folder.open(NAME);
    const [first, second] = SLOTS.map((at) => readRecord(folder, this.#file, at));
    this.#sequence = Math.max(first!, second!, 0);
    this.#slot = first! >= second! ? 1 : 0;
  }

  static isItsName(name: string): boolean {
    return name === NAME;
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** @throws Error of the file system; the record before is whole then */
  save(sequence: number): void {
    const record = Buffer.alloc(RECORD_BYTES);
    record.writeUInt32LE(MAGIC, 0);
    record.writeBigUInt64LE(BigInt(sequence), 4);
    record.writeUInt32LE(crc32(record.subarray(0, 12)), 12);
    const written = this.#folder.write(this.#file, record, SLOTS[this.#slot]!);
    if (written !== RECORD_BYTES) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    this.#sequence = sequence;
    this.#slot = 1 - this.#slot;
  }

  get file(): number {
    return this.#file;
  }

  close(): void {
    this.#folder.closeFile(this.#file);
  }
}

/** -1 when there is no sound one. */
function readRecord(folder: QueueFolder, file: number, at: number): number {
  const record = Buffer.alloc(RECORD_BYTES);
  if (folder.read(file, record, at) !== RECORD_BYTES) return -1;
  if (record.readUInt32LE(0) !== MAGIC) return -1;
  if (crc32(record.subarray(0, 12)) !== record.readUInt32LE(12)) return -1;
  const sequence = record.readBigUInt64LE(4);
  return sequence <= Number.MAX_SAFE_INTEGER ? Number(sequence) : -1;
}
