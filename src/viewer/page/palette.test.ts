import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contrast, linear, type Rgb } from './colour.ts';
import { KINDS, palette, SHADES } from './palette.ts';

const themes = ['light', 'dark'] as const;
const types = [...KINDS.map((kind) => kind.type), 'root', 'something-new'];

test('text on every fill of both themes, faded too, has a contrast of at least 4.5', () => {
  for (const theme of themes) {
    const colours = palette(theme);
    for (const type of types) {
      for (let shade = 0; shade < SHADES; shade++) {
        for (const ink of [colours.ink(type, shade), colours.faded(type, shade)]) {
          const ratio = contrast(ink.fill, ink.text);
          assert.ok(ratio >= 4.5, `${theme} ${type} ${shade}: ${ratio.toFixed(2)}`);
        }
      }
    }
  }
});

// Machado, Oliveira, Fernandes 2009, severity 1.0, on linear RGB.
const deficiencies: Record<string, readonly (readonly number[])[]> = {
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
  none: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
};

function seen(rgb: Rgb, matrix: readonly (readonly number[])[]): number[] {
  const light = linear(rgb);
  return matrix.map((row) => row[0]! * light[0] + row[1]! * light[1] + row[2]! * light[2]);
}

/** Distance in OKLab. */
function distance(first: number[], second: number[]): number {
  const lab = ([r, g, b]: number[]) => {
    const l = Math.cbrt(Math.max(0, 0.4122214708 * r! + 0.5363325363 * g! + 0.0514459929 * b!));
    const m = Math.cbrt(Math.max(0, 0.2119034982 * r! + 0.6806995451 * g! + 0.1073969566 * b!));
    const s = Math.cbrt(Math.max(0, 0.0883024619 * r! + 0.2817188376 * g! + 0.6299787005 * b!));
    return [
      0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
      1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
      0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
    ];
  };
  const [a, b] = [lab(first), lab(second)];
  return Math.hypot(a[0]! - b[0]!, a[1]! - b[1]!, a[2]! - b[2]!);
}

test('the kinds a reader must tell apart differ for colour-blind eyes in both themes', () => {
  const apart = ['kernel', 'native', 'go', 'v8js', 'cpython', 'process', 'marker'];
  for (const theme of themes) {
    const colours = palette(theme);
    for (const [name, matrix] of Object.entries(deficiencies)) {
      for (let a = 0; a < apart.length; a++) {
        for (let b = a + 1; b < apart.length; b++) {
          const gap = distance(
            seen(colours.ink(apart[a]!, 0).fill, matrix),
            seen(colours.ink(apart[b]!, 0).fill, matrix),
          );
          assert.ok(
            gap > 0.045,
            `${theme}, ${name}: ${apart[a]} and ${apart[b]} ${gap.toFixed(3)}`,
          );
        }
      }
    }
  }
});

test('accent and hatch stand out from the page', () => {
  for (const theme of themes) {
    const colours = palette(theme);
    assert.ok(contrast(colours.accent, colours.page) >= 4.5);
    assert.ok(contrast(colours.hatch, colours.page) >= 1.8);
  }
});
