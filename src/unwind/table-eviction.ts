/**
 * Which blocks of rows make room for others: first those of files that nobody has been sampled
 * in for long, then those of whoever has most. So one process or file, however much text it
 * runs, costs the others nothing as long as it has more than they have.
 */

/** A process, or several with the same mappings. */
export interface FileUse {
  /** Indices in `ft_files`. */
  readonly files: ReadonlySet<number>;
  /** Of its last sample, monotonic nanoseconds. */
  readonly at: bigint;
}

export interface HeldBlock {
  /** Index in `ft_files`. */
  readonly file: number;
  readonly length: number;
  /** It was just loaded: whoever needed it may not be known as its file's user yet. */
  readonly isFresh: boolean;
}

/** Of the whole room, what one process or one file that several map may have when it is full. */
export const MAX_SHARE = 1 / 4;
/** Whoever has more than its share is left with that much of it: it would be back at once. */
const LEFT = 3 / 4;
/** Without a sample for that long, its tables are worth less than those of the others. */
const IDLE_NS = 60_000_000_000n;

/** Blocks that come and go together: of the files that only one process maps, or of a shared file. */
interface Holding<Block> {
  readonly blocks: Block[];
  words: number;
  lastUse: bigint;
}

/**
 * All blocks, in the order in which they are to go.
 * @param blocks oldest first
 * @param words the whole room
 */
export function* evictionOrder<Block extends HeldBlock>(
  blocks: Iterable<Block>,
  uses: readonly FileUse[],
  words: number,
): Generator<Block> {
  const newest = lastUse(uses);
  const holdings = holdingsOf(blocks, uses, newest);
  const isIdle = ({ lastUse }: Holding<Block>) => lastUse < newest - IDLE_NS;
  const idle = holdings.filter(isIdle);
  idle.sort((a, b) => (a.lastUse < b.lastUse ? -1 : Number(a.lastUse > b.lastUse)));
  for (const holding of idle) yield* holding.blocks;
  const used = holdings.filter((holding) => !isIdle(holding));
  for (let share = words * MAX_SHARE; used.some((holding) => holding.words > 0); share /= 2) {
    const over = used.filter((holding) => holding.words > share);
    over.sort((a, b) => b.words - a.words);
    for (const holding of over) yield* reduce(holding, share < 1 ? 0 : share * LEFT);
  }
}

function* reduce<Block extends HeldBlock>(holding: Holding<Block>, to: number): Generator<Block> {
  let gone = 0;
  for (const block of holding.blocks) {
    if (holding.words <= to) break;
    holding.words -= block.length;
    gone++;
    yield block;
  }
  holding.blocks.splice(0, gone);
}

function holdingsOf<Block extends HeldBlock>(
  blocks: Iterable<Block>,
  uses: readonly FileUse[],
  newest: bigint,
): Holding<Block>[] {
  const users = new Map<number, FileUse[]>();
  for (const use of uses) {
    for (const file of use.files) {
      const known = users.get(file);
      if (known) known.push(use);
      else users.set(file, [use]);
    }
  }
  // By the process, or by the file when it has several; what nobody maps is told apart by age.
  const holdings = new Map<FileUse | number | 'fresh' | 'nobody', Holding<Block>>();
  for (const block of blocks) {
    const own = users.get(block.file);
    const unowned = block.isFresh ? 'fresh' : 'nobody';
    const key = own ? (own.length > 1 ? block.file : own[0]!) : unowned;
    let holding = holdings.get(key);
    if (!holding) {
      const otherwise = block.isFresh ? newest : -IDLE_NS;
      holding = { blocks: [], words: 0, lastUse: own ? lastUse(own) : otherwise };
      holdings.set(key, holding);
    }
    holding.blocks.push(block);
    holding.words += block.length;
  }
  return [...holdings.values()];
}

function lastUse(uses: readonly FileUse[]): bigint {
  let latest = 0n;
  for (const { at } of uses) if (at > latest) latest = at;
  return latest;
}
