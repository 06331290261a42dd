/** Colour arithmetic: OKLCH (even steps look even) to sRGB, and WCAG contrast. */

/** Red, green and blue, 0 to 255. */
export type Rgb = readonly [number, number, number];

/** `lightness` 0-1, `chroma` 0-0.37, `hue` in degrees; out-of-gamut colours lose chroma. */
export function oklch(lightness: number, chroma: number, hue: number): Rgb {
  for (let c = chroma; c > 0; c -= 0.004) {
    const rgb = linearRgb(lightness, c, hue);
    if (rgb.every((each) => each >= -0.0005 && each <= 1.0005)) return encode(rgb);
  }
  return encode(linearRgb(lightness, 0, hue));
}

// Matrices: Björn Ottosson, "A perceptual color space for image processing".
function linearRgb(lightness: number, chroma: number, hue: number): Rgb {
  const angle = (hue * Math.PI) / 180;
  const a = chroma * Math.cos(angle);
  const b = chroma * Math.sin(angle);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

function encode(linear: Rgb): Rgb {
  const channel = (value: number) => {
    const within = Math.min(1, Math.max(0, value));
    const encoded = within <= 0.0031308 ? 12.92 * within : 1.055 * within ** (1 / 2.4) - 0.055;
    return Math.round(encoded * 255);
  };
  return [channel(linear[0]), channel(linear[1]), channel(linear[2])];
}

export function linear(rgb: Rgb): Rgb {
  const channel = (value: number) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  return [channel(rgb[0]), channel(rgb[1]), channel(rgb[2])];
}

/** WCAG 2 contrast ratio, 1 to 21. */
export function contrast(first: Rgb, second: Rgb): number {
  const luminance = (rgb: Rgb) => {
    const [red, green, blue] = linear(rgb);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [a, b] = [luminance(first), luminance(second)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

/** `part` of the second colour over the first. */
export function mix(first: Rgb, second: Rgb, part: number): Rgb {
  const channel = (at: 0 | 1 | 2) => Math.round(first[at] * (1 - part) + second[at] * part);
  return [channel(0), channel(1), channel(2)];
}

export const css = (rgb: Rgb): string => `rgb(${rgb[0]} ${rgb[1]} ${rgb[2]})`;
