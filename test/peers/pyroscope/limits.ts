/** What Pyroscope has by default, each with the flag that changes it. */
export interface Limits {
  /** -validation.max-label-names-per-series */
  readonly labelNames: number;
  /** -validation.max-length-label-name, bytes */
  readonly labelName: number;
  /** -validation.max-length-label-value, bytes */
  readonly labelValue: number;
  /** -validation.max-profile-stacktrace-samples */
  readonly samples: number;
  /** -validation.max-profile-size-bytes, uncompressed */
  readonly profileBytes: number;
  /** -distributor.ingestion-rate-limit-mb, of a tenant and second */
  readonly rateBytes: number;
  /** -distributor.ingestion-burst-size-mb */
  readonly burstBytes: number;
  /** -validation.reject-older-than, milliseconds */
  readonly olderMs: number;
  /** -validation.reject-newer-than, milliseconds */
  readonly newerMs: number;
}

export const DEFAULT_LIMITS: Limits = {
  labelNames: 30,
  labelName: 1024,
  labelValue: 2048,
  samples: 16_000,
  profileBytes: 4 * 2 ** 20,
  rateBytes: 4 * 2 ** 20,
  burstBytes: 2 * 2 ** 20,
  olderMs: 3_600_000,
  newerMs: 600_000,
};
