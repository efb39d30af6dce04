// Places in text: the box counts characters, JavaScript counts UTF-16 units, and only these functions cross over.

const PAIRED = /[\ud800-\udbff][\udc00-\udfff]/;

/** A stretch of text and whether it is marked. */
export interface Piece {
  text: string;
  marked: boolean;
}

/** The UTF-16 place of the `at`-th character of `text`, kept inside the text. */
export function unitsAt(text: string, at: number): number {
  if (at <= 0) return 0;
  if (!PAIRED.test(text)) return Math.min(at, text.length);
  let units = 0;
  let seen = 0;
  for (const character of text) {
    if (seen === at) return units;
    seen += 1;
    units += character.length;
  }
  return units;
}

/** How many characters `text` has. */
export function charactersIn(text: string): number {
  if (!PAIRED.test(text)) return text.length;
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** Takes the torn first paragraph off a window of text that begins at character `from`, never past character `keep`. */
export function wholeParagraphs(text: string, from: number, keep: number): { text: string; start: number } {
  const cut = from > 0 ? text.indexOf("\n") + 1 : 0;
  const start = from + charactersIn(text.slice(0, cut));
  return cut > 0 && start <= keep ? { text: text.slice(cut), start } : { text, start: from };
}

/** Cuts `text` at the given spans (in characters); spans may come unsorted, overlap or run over the end. */
export function pieces(text: string, spans: readonly (readonly number[])[]): Piece[] {
  const out: Piece[] = [];
  let at = 0;
  const sorted = spans
    .map(([start = 0, end = 0]) => [unitsAt(text, start), unitsAt(text, end)] as const)
    .sort((a, b) => a[0] - b[0]);
  for (const [start, end] of sorted) {
    const from = Math.max(start, at);
    if (end <= from) continue;
    if (from > at) out.push({ text: text.slice(at, from), marked: false });
    out.push({ text: text.slice(from, end), marked: true });
    at = end;
  }
  if (at < text.length) out.push({ text: text.slice(at), marked: false });
  return out;
}

/** A paragraph or heading of a text; `level` is 0 for a paragraph, places are characters of the whole text. */
export interface Block {
  start: number;
  end: number;
  level: number;
  text: string;
}

/** Cuts a window of text that begins at character `from` into paragraphs (blank lines part them) and headings. */
export function paragraphs(text: string, from: number, headings: readonly { at: number; level: number }[]): Block[] {
  const levels = new Map(headings.map((one) => [one.at, Math.max(1, one.level)]));
  const blocks: Block[] = [];
  let open: Block | null = null;
  let at = from;
  for (const line of text.split("\n")) {
    const length = charactersIn(line);
    // A heading may be told at its first letter, after the line's own indent.
    const level = levels.get(at) ?? levels.get(at + (line.length - line.trimStart().length)) ?? 0;
    if (line.trim() === "") {
      open = null;
    } else if (level > 0) {
      blocks.push({ start: at, end: at + length, level, text: line });
      open = null;
    } else if (open) {
      open.text += `\n${line}`;
      open.end = at + length;
    } else {
      open = { start: at, end: at + length, level: 0, text: line };
      blocks.push(open);
    }
    at += length + 1;
  }
  return blocks;
}
