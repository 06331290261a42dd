/** Repeatable random numbers for tests. */

/** Numbers in [0, limit), the same sequence for the same seed (xorshift32). */
export function seeded(seed: number): (limit: number) => number {
  let state = seed >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return Math.floor((state / 0x1_0000_0000) * limit);
  };
}
