/** The kernel side's table of layouts of Node.js: as many as there are builds and libraries, not processes. */
import { NODE_LAYOUTS, NodeForm, NodeLayoutValue } from '../capture/record.ts';
import type { NodeLayout } from '../context/node-search.ts';
import type { MapWriter } from '../unwind/map-writer.ts';

export class NodeLayouts {
  readonly #map: number;
  readonly #writer: MapWriter;
  /** Number by contents. */
  readonly #numbers = new Map<string, number>();
  /** Contents that found no room: a process is asked about again and again. */
  readonly #refused = new Set<string>();

  /** @param map descriptor of `ft_node_layouts` */
  constructor(map: number, writer: MapWriter) {
    this.#map = map;
    this.#writer = writer;
  }

  /** Layouts that are not in the table, as far as they are told apart. */
  get problems(): ReadonlyMap<string, number> {
    const { size } = this.#refused;
    return new Map(size > 0 ? [['node_layouts_full', size]] : []);
  }

  /** Index in the table plus one; 0 when it is full. */
  number(layout: NodeLayout): number {
    const key = JSON.stringify(layout);
    let number = this.#numbers.get(key);
    if (number === undefined) {
      if (this.#numbers.size === NODE_LAYOUTS) {
        if (this.#refused.size < NODE_LAYOUTS) this.#refused.add(key);
        return 0;
      }
      this.#writer.put(this.#map, this.#numbers.size, encoded(layout));
      number = this.#numbers.size + 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}

function encoded(layout: NodeLayout): Uint8Array {
  const view = new DataView(new ArrayBuffer(NodeLayoutValue.size));
  view.setBigInt64(NodeLayoutValue.isolate, BigInt(layout.isolate), true);
  view.setUint32(NodeLayoutValue.continuation, layout.continuation, true);
  view.setInt32(NodeLayoutValue.hash, layout.hash, true);
  view.setUint16(NodeLayoutValue.mapType, layout.mapType, true);
  const isContext = layout.form === 'thread_context';
  view.setUint16(
    NodeLayoutValue.form,
    isContext ? NodeForm.ThreadContext : NodeForm.CustomLabels,
    true,
  );
  return new Uint8Array(view.buffer);
}
