/** Which lines of `/proc/PID/maps` are worth their cost, of a process with more than anybody needs. */

/**
 * At most `most` of the lines, in their order: those with addresses that samples had first,
 * then files, then memory without one. The text itself when it has no more.
 * @param wanted addresses of samples
 */
export function selectLines(
  text: string,
  most: number,
  wanted: Iterable<number>,
): { text: string; left: number } {
  const starts = lineStarts(text);
  if (starts.length <= most) return { text, left: 0 };
  const sorted = [...wanted].sort((a, b) => a - b);
  const classes: [wanted: number[], files: number[], others: number[]] = [[], [], []];
  let next = 0;
  starts.forEach((at, line) => {
    const end = starts[line + 1] ?? text.length;
    const dash = text.indexOf('-', at);
    // Both lists are in ascending order.
    const from = next < sorted.length ? Number.parseInt(text.slice(at, dash), 16) : 0;
    const to = next < sorted.length ? Number.parseInt(text.slice(dash + 1, dash + 17), 16) : 0;
    while (next < sorted.length && sorted[next]! < from) next++;
    const isWanted = next < sorted.length && sorted[next]! < to;
    const slash = text.slice(at, end).indexOf('/');
    if (isWanted) classes[0].push(line);
    else if (slash >= 0) classes[1].push(line);
    else classes[2].push(line);
  });
  const chosen = classes.flat().slice(0, most);
  chosen.sort((a, b) => a - b);
  const lines = chosen.map((line) => text.slice(starts[line], starts[line + 1] ?? text.length));
  return { text: lines.join(''), left: starts.length - chosen.length };
}

function lineStarts(text: string): number[] {
  const starts: number[] = [];
  for (let at = 0; at < text.length; ) {
    starts.push(at);
    const end = text.indexOf('\n', at);
    at = end < 0 ? text.length : end + 1;
  }
  return starts;
}
