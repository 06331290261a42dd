/** A frame in words: the same facts for the tooltip, the details, and the announcer. */

import { css } from './colour.ts';
import { make } from './dom.ts';
import { placeAmongSiblings } from './navigate.ts';
import { kindLabel, palette, type Theme } from './palette.ts';
import {
  baseName,
  cut,
  formatCount,
  formatDuration,
  formatPercent,
  NAME_LIMIT,
  printable,
} from './text.ts';
import type { Frame } from './tree.ts';
import type { View } from './view.ts';

export interface Amount {
  readonly label: string;
  readonly samples: string;
  readonly time: string;
  readonly share: string;
}

export const frameName = (frame: Frame): string => cut(printable(frame.name), NAME_LIMIT);

/** Who runs it, and whether it is a call that was inlined. */
export const kindOf = (frame: Frame): string =>
  frame.inlined ? `${kindLabel(frame.type)}, inlined` : kindLabel(frame.type);

/** `file:line`, '' when not known. */
export function sourceOf(frame: Frame): string {
  if (frame.file === '') return '';
  return cut(printable(frame.file) + (frame.line > 0 ? `:${frame.line}` : ''), NAME_LIMIT);
}

export function amounts(view: View, node: number, zoomed: number, periodNs: number): Amount[] {
  const all = view.total[0]!;
  const row = (label: string, samples: number): Amount => ({
    label,
    samples: `${formatCount(samples)} ${samples === 1 ? 'sample' : 'samples'}`,
    time: periodNs > 0 ? formatDuration(samples * periodNs) : '',
    share: formatPercent(samples, all),
  });
  const rows = [row('Self', view.self[node]!), row('Total', view.total[node]!)];
  if (zoomed > 0 && node !== zoomed && node > zoomed && node < view.end[zoomed]!) {
    const part = formatPercent(view.total[node]!, view.total[zoomed]!);
    rows.push({ label: 'Of zoomed', samples: '', time: '', share: part });
  }
  return rows;
}

export function announce(view: View, node: number, periodNs: number): string {
  const frame = view.frames[view.frame[node]!]!;
  const [self, total] = amounts(view, node, 0, periodNs);
  const { place, of } = placeAmongSiblings(view, node);
  const parts = [
    cut(printable(frame.name), 200),
    kindOf(frame),
    frame.module === '' ? '' : `in ${baseName(printable(frame.module))}`,
    `${total!.share} of all, ${total!.samples}${total!.time === '' ? '' : `, ${total!.time}`}`,
    view.self[node] === 0 ? 'none of it self' : `self ${self!.share}`,
    `level ${view.depth[node]}`,
    of > 1 ? `${place} of ${of}` : '',
  ];
  return parts.filter((part) => part !== '').join('; ');
}

export function swatch(type: string, theme: Theme): HTMLElement {
  const element = make('span', type === 'marker' ? 'swatch hatched' : 'swatch');
  element.style.backgroundColor = css(palette(theme).ink(type, 1).fill);
  return element;
}
