/** Finds call frame information in an ELF image, with or without section headers. */
import { virtualAddress } from '../units/units.ts';
import { EntryReader, type FrameSection } from './cfi-entry.ts';
import { malformed } from './failure.ts';
import { ScannedIndex, SearchTable } from './fde-index.ts';
import { FdeLayer } from './fde-layer.ts';
import { type ElfImage, SegmentType } from './image.ts';
import { SliceSource } from './slice-source.ts';

/** Counts a problem by its reason. */
export type ProblemCounter = (reason: string) => void;

/** `.eh_frame` and `.debug_frame`, as far as there are any, the former first. */
export function frameLayers(image: ElfImage, problem: ProblemCounter): FdeLayer[] {
  const layers: FdeLayer[] = [];
  for (const make of [ehFrameLayer, debugFrameLayer]) {
    try {
      const layer = make(image, problem);
      if (layer !== undefined) layers.push(layer);
    } catch (error) {
      problem(malformed(error).reason);
    }
  }
  return layers;
}

/** The layer over the same section with an index made by reading all of it. */
export function scanned(layer: FdeLayer, image: ElfImage, problem: ProblemCounter): FdeLayer {
  const { entries } = layer;
  const index = ScannedIndex.scan(entries, image.textBase, image.textSize, problem);
  return new FdeLayer(entries, index, false, image.textBase);
}

function ehFrameLayer(image: ElfImage, problem: ProblemCounter): FdeLayer | undefined {
  const table = searchTable(image, problem);
  const section = ehFrame(image, table);
  if (section === undefined) return undefined;
  const entries = new EntryReader(section);
  if (table !== undefined && table.frameAddress === section.address) {
    return new FdeLayer(entries, table, true, image.textBase);
  }
  const index = ScannedIndex.scan(entries, image.textBase, image.textSize, problem);
  return new FdeLayer(entries, index, false, image.textBase);
}

function searchTable(image: ElfImage, problem: ProblemCounter): SearchTable | undefined {
  const part =
    image.segments.find(({ type }) => type === SegmentType.GnuEhFrame) ??
    image.section('.eh_frame_hdr');
  if (part === undefined) return undefined;
  try {
    return new SearchTable(image.view(part), part.address, image.textBase);
  } catch (error) {
    problem(malformed(error).reason);
    return undefined;
  }
}

function ehFrame(image: ElfImage, table: SearchTable | undefined): FrameSection | undefined {
  const section = image.section('.eh_frame');
  if (section !== undefined) {
    const bytes = image.view(section);
    // Files with debug information alone keep the header of the section, not its bytes.
    if (bytes.size > 0) return { bytes, address: section.address, format: 'eh_frame' };
  }
  if (table === undefined) return undefined;
  // Without section headers its end is unknown; entries say themselves where they end.
  const address = virtualAddress(table.frameAddress);
  for (const segment of image.segments) {
    const start = address - segment.address;
    if (segment.type !== SegmentType.Load || start < 0 || start >= segment.fileSize) continue;
    const bytes = new SliceSource(image.view(segment), start, segment.fileSize - start);
    return { bytes, address, format: 'eh_frame' };
  }
  return undefined;
}

function debugFrameLayer(image: ElfImage, problem: ProblemCounter): FdeLayer | undefined {
  const section = image.section('.debug_frame');
  if (section === undefined) return undefined;
  const bytes = image.view(section);
  if (bytes.size === 0) return undefined;
  const entries = new EntryReader({ bytes, address: section.address, format: 'debug_frame' });
  const index = ScannedIndex.scan(entries, image.textBase, image.textSize, problem);
  return index.count === 0 ? undefined : new FdeLayer(entries, index, false, image.textBase);
}
