import { swatch } from './describe.ts';
import { make } from './dom.ts';
import { KINDS, type Theme } from './palette.ts';
import { formatPercent } from './text.ts';
import type { View } from './view.ts';

/** The colours in use. Code shows its share of self time, a cut stack the share below it. */
export function showLegend(list: HTMLElement, view: View, theme: Theme): void {
  const share = new Map<string, number>();
  for (let node = 1; node < view.length; node++) {
    const type = view.frames[view.frame[node]!]!.type;
    const samples = type === 'marker' ? view.total[node]! : view.self[node]!;
    share.set(type, (share.get(type) ?? 0) + samples);
  }
  const items = KINDS.filter((kind) => share.has(kind.type)).map((kind) => {
    const item = make('li');
    item.append(swatch(kind.type, theme), kind.label);
    const samples = share.get(kind.type)!;
    if (samples > 0) {
      item.append(make('b', '', formatPercent(samples, view.total[0]!)));
      item.title =
        kind.type === 'marker'
          ? 'Share of samples whose stack does not reach its root'
          : `Share of samples whose innermost frame is ${kind.label}`;
    }
    return item;
  });
  list.replaceChildren(...items);
}
