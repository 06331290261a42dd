/** Where a process keeps the labels of its requests, as the kernel side is told (`struct ft_process`). */

export interface TlsPlace {
  readonly kind: 'none' | 'static' | 'dynamic';
  /** From the thread pointer, or in the module's block; may be negative. */
  readonly offset: number;
  /** Number of the library in the thread's vector of blocks, below 2^16; 0 unless dynamic. */
  readonly module: number;
  /** glibc's count of changes to its list of libraries with which this one came; 0 = not known. */
  readonly generation: number;
  /** Bytes of an entry of the thread's vector: glibc 16, musl 8. */
  readonly dtvStep: number;
}

export interface CarrierLayout {
  readonly goLabels:
    | {
        /** In runtime.g. */
        readonly offset: number;
        readonly form: 'map' | 'slice';
      }
    | undefined;
  /** Of `otel_thread_ctx_v1`. */
  readonly threadContext: TlsPlace;
  /** Of `custom_labels_current_set`. */
  readonly customLabels: TlsPlace;
  readonly nodeContext: TlsPlace;
  /** Index in `ft_node_layouts` plus one, 0 = none. */
  readonly node: number;
}

export const noTls: TlsPlace = { kind: 'none', offset: 0, module: 0, generation: 0, dtvStep: 0 };

export const noCarriers: CarrierLayout = {
  goLabels: undefined,
  threadContext: noTls,
  customLabels: noTls,
  nodeContext: noTls,
  node: 0,
};
