// With which program somebody came, in a few words: what it says of itself is long and mostly about other programs.

/** The first that matches names the program; many claim to be several. */
const PROGRAMS: [RegExp, string][] = [
  [/\bEdg(?:e|A|iOS)?\/(\d+)/, "Edge"],
  [/\b(?:OPR|Opera)\/(\d+)/, "Opera"],
  [/\bSamsungBrowser\/(\d+)/, "Samsung Internet"],
  [/\b(?:Firefox|FxiOS)\/(\d+)/, "Firefox"],
  [/\b(?:HeadlessChrome|Chrome|CriOS)\/(\d+)/, "Chrome"],
  [/\bVersion\/(\d+)(?:\.\d+)* .*Safari\//, "Safari"],
];
const SYSTEMS: [RegExp, string][] = [
  [/iPhone|iPod/, "iPhone"],
  [/iPad/, "iPad"],
  [/Android/, "Android"],
  [/Windows/, "Windows"],
  [/Mac OS X|Macintosh/, "macOS"],
  [/CrOS/, "ChromeOS"],
  [/Linux|X11/, "Linux"],
];
/** Longer than this says nothing at a glance. */
const LONGEST = 32;

/** `Firefox 128 · Windows` for what a browser says; the first word of what another program says. */
export function program(agent: string): string {
  const system = SYSTEMS.find(([sign]) => sign.test(agent))?.[1];
  for (const [sign, name] of PROGRAMS) {
    const version = sign.exec(agent)?.[1];
    if (version) return [`${name} ${version}`, system].filter(Boolean).join(" · ");
  }
  const first = agent.trim().split(/[\s(;]/)[0] ?? "";
  const [name = "", version = ""] = first.split("/");
  const said = [name, version].filter(Boolean).join(" ");
  return said.length > LONGEST ? `${said.slice(0, LONGEST - 1)}…` : said;
}
