// A site's colour and sign: seen on every page, so that nobody edits the wrong site.

/** What the box is called while it has no site. */
export const NAMELESS = "ilot";
const OWN = "#0c6b63";

/** The colours a site is offered; white on each of them keeps AA contrast. */
export const COLOURS = [
  { name: "teal", hex: OWN },
  { name: "blue", hex: "#1f5fa8" },
  { name: "violet", hex: "#5b4bb0" },
  { name: "plum", hex: "#8a3b86" },
  { name: "red", hex: "#ad2f45" },
  { name: "rust", hex: "#a3491c" },
  { name: "ochre", hex: "#7d6000" },
  { name: "green", hex: "#3c6e2a" },
] as const;

/** The colour offered first to a site of this name, so that two sites rarely take the same (FNV-1a over UTF-8). */
export function suggested(name: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name.trim().normalize("NFC"))) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  // The low bits of FNV repeat for short names; folding the high ones in spreads them.
  return COLOURS[(hash ^ (hash >>> 16)) % COLOURS.length]?.hex ?? OWN;
}

/** A colour as the box keeps it, or the box's own where that is not one. */
export function colourOr(hex: string | undefined): string {
  return hex && /^#[0-9a-f]{6}$/i.test(hex) ? hex : OWN;
}

/** Black or white, whichever reads better on `hex` (relative luminance, WCAG 2). */
export function inkOn(hex: string): string {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  const light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return 1.05 / (light + 0.05) >= (light + 0.05) / 0.05 ? "#ffffff" : "#000000";
}

/** Up to two letters that stand for the site. */
export function initials(name: string): string {
  const words = name.trim().split(/[\s\-–—·,.'’]+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0]?.[0], words.at(-1)?.[0]] : [words[0]?.[0]];
  return letters.join("").toUpperCase() || "·";
}
