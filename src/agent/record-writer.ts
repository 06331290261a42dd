/** Builds sample records out of deferred ones, in a growing buffer. */
import {
  DEFERRED_SHIFT,
  EXACT_PC_HIGH,
  endCode,
  GO_STATES,
  Header,
  RecordType,
  Sample,
} from '../capture/record.ts';
import type { Goroutine } from '../unwind/goroutine-copy.ts';
import type { Walked } from '../unwind/stack-walk.ts';

export interface WrittenSamples {
  readonly samples: number;
  /** Undefined when there are none. */
  readonly records: Uint8Array<ArrayBuffer> | undefined;
}

export class RecordWriter {
  #bytes = new Uint8Array(16 * 1024);
  #length = 0;
  #samples = 0;

  /**
   * A finished sample from the deferred record at `at` and its walked user stack.
   * @param goroutine in place of what the record says
   */
  write(
    records: DataView,
    at: number,
    walked: Walked,
    layout: number,
    goroutine?: Goroutine,
  ): void {
    const done = records.getUint16(at + Sample.userCount, true);
    const copied = Sample.size + (records.getUint16(at + Sample.kernelCount, true) + done) * 8;
    const labels = records.getUint16(at + Sample.labelBytes, true);
    const length = copied + walked.length * 8 + labels;
    this.#reserve(length);
    const start = this.#length;
    this.#bytes.set(new Uint8Array(records.buffer, records.byteOffset + at, copied), start);
    const view = new DataView(this.#bytes.buffer, start, length);
    const why = records.getUint16(at + Sample.end, true);
    const flags = records.getUint16(at + Sample.flags, true) & 0xff;
    view.setUint32(Header.length, length, true);
    view.setUint16(Header.type, RecordType.Sample, true);
    view.setUint32(Sample.layout, layout, true);
    view.setUint16(Sample.userCount, done + walked.length, true);
    view.setUint16(Sample.end, endCode(walked.end), true);
    view.setUint16(Sample.flags, flags | ((why + 1) << DEFERRED_SHIFT), true);
    if (goroutine) {
      view.setUint32(Sample.goState, GO_STATES.indexOf(goroutine.state), true);
      setWord(view, Sample.goid, goroutine.goid);
      setWord(view, Sample.goCreator, goroutine.creator);
      setWord(view, Sample.goStart, goroutine.start);
    }
    const block = new Uint8Array(records.buffer, records.byteOffset + at + copied, labels);
    this.#bytes.set(block, start + length - labels);
    for (let i = 0; i < walked.length; i++) {
      const address = walked.addresses[i]!;
      const high = Math.floor(address / 2 ** 32);
      view.setUint32(copied + i * 8, address % 2 ** 32, true);
      view.setUint32(copied + i * 8 + 4, walked.exact[i] ? high | EXACT_PC_HIGH : high, true);
    }
    this.#length += length;
    this.#samples++;
  }

  /** What was written since the last call, as bytes of their own. */
  take(): WrittenSamples {
    const { length, samples } = { length: this.#length, samples: this.#samples };
    this.#length = 0;
    this.#samples = 0;
    return { samples, records: samples > 0 ? this.#bytes.slice(0, length) : undefined };
  }

  #reserve(length: number): void {
    if (this.#length + length <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + length));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

function setWord(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
