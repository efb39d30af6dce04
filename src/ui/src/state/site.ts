// A site's colour: it follows from the name alone, so that every browser shows the same one and two sites rarely look alike.

/** Each is a class in `tokens.css`, with a light and a dark form that keep AA contrast. */
export const COLOURS = ["teal", "blue", "violet", "plum", "red", "rust", "ochre", "green"] as const;
export type Colour = (typeof COLOURS)[number];

/** What the box is called while it has no site. */
export const NAMELESS = "ilot";

/** The colour of the site called `name` (FNV-1a over its UTF-8 bytes). */
export function colourOf(name: string): Colour {
  if (name === NAMELESS) return "teal";
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name.trim().normalize("NFC"))) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  // The low bits of FNV repeat for short names; folding the high ones in spreads them.
  return COLOURS[(hash ^ (hash >>> 16)) % COLOURS.length] ?? "teal";
}

/** Up to two letters that stand for the site. */
export function initials(name: string): string {
  const words = name.trim().split(/[\s\-–—·,.'’]+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0]?.[0], words.at(-1)?.[0]] : [words[0]?.[0]];
  return letters.join("").toUpperCase() || "·";
}
