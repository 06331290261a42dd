/**
 * The tables of an OTLP dictionary that stacks lead to: locations, functions
 * and mappings. Only what samples use gets in, and what becomes equal in OTLP,
 * which has fewer fields than the model, gets in once.
 *
 * Everything is walked in the model's order: its objects lie in memory as they
 * were made, and following each stack to its names costs three times as much.
 */
import { framesOf } from './frame.ts';
import type { FrameType, FunctionName, Location, Mapping, Profile } from './model.ts';
import { DICTIONARY, FUNCTION, LINE, LOCATION, MAPPING, STACK } from './otlp-fields.ts';
import type { OtlpStrings } from './otlp-strings.ts';
import type { ProtobufWriter } from './protobuf-writer.ts';
import { WordTable } from './word-table.ts';

const WORD = 2 ** 32;
/** The model keeps the low 52 bits of kernel addresses, the others are ones; 0 = not told. */
const KERNEL_HIGH = 0xfff0_0000;
/** Name, system name, file, start line. */
const FUNCTION_WORDS = 4;

/** A 64-bit number as two unsigned ones. */
interface Halves {
  readonly high: number;
  readonly low: number;
}

const ZERO: Halves = { high: 0, low: 0 };
const END: Halves = { high: 0xffff_ffff, low: 0xffff_ffff };

interface MappingFields {
  readonly start: Halves;
  readonly limit: Halves;
  readonly fileOffset: number;
  /** Index of the string. */
  readonly file: number;
  readonly attributes: readonly number[];
}

type NamedFunction = Pick<FunctionName, 'name' | 'systemName' | 'file' | 'startLine'>;

export class OtlpTables {
  /** Our index by the model's; 0 = not in use, or without frames. */
  readonly stackIndex: Uint32Array;
  readonly #profile: Profile;
  readonly #strings: OtlpStrings;
  readonly #functions = new WordTable();
  readonly #functionWords = new Uint32Array(FUNCTION_WORDS);
  readonly #mappings: { readonly key: string; readonly fields: MappingFields }[] = [];
  /** Locations and stacks that are written, by their indices in the model. */
  #locations: Uint32Array;
  #stacks: Uint32Array;
  /** As `stackIndex`. */
  readonly #functionIndex: Uint32Array;
  readonly #locationIndex: Uint32Array;
  readonly #mappingIndex: Uint32Array;
  readonly #frameTypes = new Map<FrameType, number>();
  /** Functions that stand for places without a name, by that text. */
  readonly #places = new Map<string, number>();
  /** Different things of the model became equal, so that what is made of them may be equal too. */
  #isMerged = false;
  #frameCount = 0;
  #lineCount = 0;

  constructor(profile: Profile, strings: OtlpStrings) {
    this.#profile = profile;
    this.#strings = strings;
    this.stackIndex = new Uint32Array(profile.stacks.length);
    this.#functionIndex = new Uint32Array(profile.functions.length);
    this.#locationIndex = new Uint32Array(profile.locations.length);
    this.#mappingIndex = new Uint32Array(profile.mappings.length);
    this.#stacks = this.#addStacks();
    this.#locations = this.#addLocations();
    this.#addFunctions();
    if (!this.#isMerged) return;
    this.#mergeLocations();
    this.#mergeStacks();
  }

  /** Stacks that differ in the model may have the same index. */
  get isMerged(): boolean {
    return this.#isMerged;
  }

  /** Bytes of the tables, about. */
  get expectedBytes(): number {
    return (
      (this.#locations.length < 2 ** 14 ? 2 : 3) * this.#frameCount +
      3 * this.#stacks.length +
      8 * this.#lineCount +
      14 * this.#locations.length +
      14 * this.#functions.length +
      40 * this.#mappings.length
    );
  }

  writeMappings(writer: ProtobufWriter): void {
    writer.close(writer.open(DICTIONARY.mapping_table));
    for (const { fields } of this.#mappings) {
      const opened = writer.open(DICTIONARY.mapping_table);
      writer.wide(MAPPING.memory_start, fields.start.high, fields.start.low);
      writer.wide(MAPPING.memory_limit, fields.limit.high, fields.limit.low);
      writer.count(MAPPING.file_offset, fields.fileOffset);
      writer.count(MAPPING.filename_strindex, fields.file);
      writer.packed(MAPPING.attribute_indices, fields.attributes);
      writer.close(opened);
    }
  }

  writeLocations(writer: ProtobufWriter): void {
    writer.close(writer.open(DICTIONARY.location_table));
    // Counting: an iterator makes an object for each of thousands.
    for (let index = 0; index < this.#locations.length; index++) {
      const location = this.#profile.locations[this.#locations[index]!]!;
      const { address, type, lines } = location;
      const opened = writer.open(DICTIONARY.location_table);
      writer.count(LOCATION.mapping_index, this.#mappingIndex[location.mapping]!);
      writer.wide(LOCATION.address, highWord(address, type === 'kernel'), address >>> 0);
      // Always with a line: receivers drop a frame without one, and some the whole sample.
      for (let depth = 0; depth < Math.max(1, lines.length); depth++) {
        const line = writer.open(LOCATION.lines);
        writer.count(LINE.function_index, this.#functionOf(location, depth));
        writer.count(LINE.line, lineNumber(lines[depth]?.line));
        writer.count(LINE.column, lineNumber(lines[depth]?.column));
        writer.close(line);
      }
      writer.packedOne(LOCATION.attribute_indices, this.#frameType(type));
      writer.close(opened);
    }
  }

  writeFunctions(writer: ProtobufWriter): void {
    writer.close(writer.open(DICTIONARY.function_table));
    const { words } = this.#functions;
    for (let at = 0; at < words.length; at += FUNCTION_WORDS) {
      const opened = writer.open(DICTIONARY.function_table);
      writer.count(FUNCTION.name_strindex, words[at]!);
      writer.count(FUNCTION.system_name_strindex, words[at + 1]!);
      writer.count(FUNCTION.filename_strindex, words[at + 2]!);
      writer.count(FUNCTION.start_line, words[at + 3]!);
      writer.close(opened);
    }
  }

  writeStacks(writer: ProtobufWriter): void {
    writer.close(writer.open(DICTIONARY.stack_table));
    for (let index = 0; index < this.#stacks.length; index++) {
      const opened = writer.open(DICTIONARY.stack_table);
      const locations = this.#profile.stacks[this.#stacks[index]!]!;
      writer.packedBy(STACK.location_indices, locations, this.#locationIndex);
      writer.close(opened);
    }
  }

  /** Numbers the stacks of samples and marks their locations. */
  #addStacks(): Uint32Array {
    const { samples, stacks } = this.#profile;
    const used = new Uint32Array(stacks.length);
    let count = 0;
    const { length, count: counts, stack: stackColumn } = samples;
    for (let row = 0; row < length; row++) {
      if (counts[row] !== 0) this.stackIndex[stackColumn[row]!] = 1;
    }
    const marks = this.#locationIndex;
    for (let index = 0; index < stacks.length; index++) {
      if (this.stackIndex[index] === 0) continue;
      const stack = stacks[index]!;
      for (let depth = 0; depth < stack.length; depth++) marks[stack[depth]!] = 1;
      this.#frameCount += stack.length;
      if (stack.length > 0) used[count++] = index;
      this.stackIndex[index] = stack.length === 0 ? 0 : count;
    }
    return used.subarray(0, count);
  }

  /** Numbers the locations and marks their functions. */
  #addLocations(): Uint32Array {
    const { locations, mappings } = this.#profile;
    const used = new Uint32Array(locations.length);
    let count = 0;
    const kernel = new Set<number>();
    const outside = new Set<number>();
    for (let index = 0; index < locations.length; index++) {
      if (this.#locationIndex[index] === 0) continue;
      const { mapping, type, address, lines } = locations[index]!;
      used[count++] = index;
      this.#locationIndex[index] = count;
      this.#mappingIndex[mapping] = 1;
      this.#frameType(type);
      const { start, end } = mappings[mapping]!;
      if (type === 'kernel') kernel.add(mapping);
      if (address < start || address >= end) outside.add(mapping);
      this.#lineCount += Math.max(1, lines.length);
      for (let depth = 0; depth < lines.length; depth++) {
        this.#functionIndex[lines[depth]!.function] = 1;
      }
    }
    this.#addMappings(kernel, outside);
    return used.subarray(0, count);
  }

  /** @param outside mappings that do not hold all of their locations */
  #addMappings(kernel: ReadonlySet<number>, outside: ReadonlySet<number>): void {
    // Entry 0 is "none" in the model too.
    this.#mappingIndex[0] = 0;
    this.#profile.mappings.forEach((mapping, index) => {
      if (this.#mappingIndex[index] === 0) return;
      const fields = this.#mappingFields(mapping, kernel.has(index), outside.has(index));
      const key = JSON.stringify(fields);
      const known = this.#mappings.findIndex((other) => other.key === key);
      if (known >= 0) this.#isMerged = true;
      this.#mappingIndex[index] = known >= 0 ? known + 1 : this.#mappings.push({ key, fields });
    });
  }

  #mappingFields(mapping: Mapping, isKernel: boolean, isWhole: boolean): MappingFields {
    const file = this.#strings.string(mapping.file);
    const attributes = [
      this.#strings.attribute('process.executable.build_id.gnu', mapping.buildId),
      this.#strings.attribute('process.executable.build_id.go', mapping.goBuildId),
      this.#strings.attribute('process.executable.build_id.htlhash', mapping.htlHash ?? ''),
    ].filter((attribute) => attribute !== 0);
    // Locations carry the file's own addresses, and so does the mapping: as if the
    // file had been loaded where it was linked. All addresses at offset 0 mean the same
    // to readers that make pprof of it; all locations have to be inside.
    if (isWhole) return { start: ZERO, limit: END, fileOffset: 0, file, attributes };
    return {
      start: halves(mapping.start, isKernel),
      limit: halves(mapping.end, isKernel),
      fileOffset: mapping.fileOffset,
      file,
      attributes,
    };
  }

  #addFunctions(): void {
    const { functions, locations } = this.#profile;
    for (let index = 0; index < functions.length; index++) {
      if (this.#functionIndex[index] === 0) continue;
      const called = functions[index]!;
      this.#functionIndex[index] = called.name === '' ? 0 : this.#addFunction(called);
    }
    for (let index = 0; index < this.#locations.length; index++) {
      const location = locations[this.#locations[index]!]!;
      for (let depth = 0; depth < Math.max(1, location.lines.length); depth++) {
        if (this.#knownFunction(location, depth) === 0) this.#addPlace(location, depth);
      }
    }
  }

  /** A frame without a name is called by its place. */
  #addPlace(location: Location, depth: number): void {
    // A line without a name beside no line at all: the same in OTLP.
    if (location.lines.length > 0) this.#isMerged = true;
    const frame = framesOf(this.#profile, location)[depth]!;
    const place = { name: frame.name, systemName: frame.name, file: '', startLine: 0 };
    if (!this.#places.has(frame.name)) this.#places.set(frame.name, this.#addFunction(place));
  }

  #addFunction({ name, systemName, file, startLine }: NamedFunction): number {
    const before = this.#functions.length;
    const words = this.#functionWords;
    words[0] = this.#strings.string(name);
    // The same name twice tells nothing.
    words[1] = systemName === name ? 0 : this.#strings.string(systemName);
    words[2] = this.#strings.string(file);
    words[3] = lineNumber(startLine);
    const index = this.#functions.intern(words, 0, FUNCTION_WORDS, 0);
    if (index < before) this.#isMerged = true;
    return index + 1;
  }

  #knownFunction({ lines }: Location, depth: number): number {
    const line = lines[depth];
    return line === undefined ? 0 : (this.#functionIndex[line.function] ?? 0);
  }

  #functionOf(location: Location, depth: number): number {
    return (
      this.#knownFunction(location, depth) ||
      this.#places.get(framesOf(this.#profile, location)[depth]!.name)!
    );
  }

  #frameType(type: FrameType): number {
    let attribute = this.#frameTypes.get(type);
    if (attribute === undefined) {
      attribute = this.#strings.attribute('profile.frame.type', type);
      this.#frameTypes.set(type, attribute);
    }
    return attribute;
  }

  #mergeLocations(): void {
    const unique = new WordTable();
    const kept: number[] = [];
    for (const index of this.#locations) {
      const location = this.#profile.locations[index]!;
      const { address, type, mapping, lines } = location;
      const high = highWord(address, type === 'kernel');
      const words = [this.#mappingIndex[mapping]!, high, address >>> 0, this.#frameType(type)];
      for (let depth = 0; depth < Math.max(1, lines.length); depth++) {
        words.push(this.#functionOf(location, depth));
        words.push(lineNumber(lines[depth]?.line), lineNumber(lines[depth]?.column));
      }
      const id = unique.intern(Uint32Array.from(words), 0, words.length, 0);
      if (id === kept.length) kept.push(index);
      this.#locationIndex[index] = id + 1;
    }
    this.#locations = Uint32Array.from(kept);
  }

  #mergeStacks(): void {
    const unique = new WordTable();
    const kept: number[] = [];
    for (const index of this.#stacks) {
      const stack = this.#profile.stacks[index]!;
      const words = stack.map((location) => this.#locationIndex[location]!);
      const id = unique.intern(words, 0, words.length, 0);
      if (id === kept.length) kept.push(index);
      this.stackIndex[index] = id + 1;
    }
    this.#stacks = Uint32Array.from(kept);
  }
}

function halves(address: number, isKernel: boolean): Halves {
  return { high: highWord(address, isKernel), low: address >>> 0 };
}

function highWord(address: number, isKernel: boolean): number {
  const high = Math.floor(address / WORD);
  return isKernel && address !== 0 ? (high | KERNEL_HIGH) >>> 0 : high;
}

/** No file has more lines than fit; debug information that says so is broken. */
function lineNumber(line = 0): number {
  return line < WORD ? line : 0;
}
