// What the watchdog says in English in its files and logs, taken apart so that the pages can say it in the reader's language.
// `tests/golden/watchdog_said.txt` lists these sentences; the watchdog's own tests hold it to them.
import type { Key } from "./i18n/fr";

/** A sentence the pages know, with its values; or, without a key, words that are shown as they came. */
export interface Said {
  key?: Key;
  values: Record<string, string>;
  /** How it ended or what came in between: a sentence of its own. */
  inner?: Said;
  text: string;
}

/** A value named `why` or `end` is itself a sentence. */
const NESTED = ["why", "end"] as const;

const SENTENCES: [RegExp, Key][] = [
  [/^status: ok\.$/, "continuity.said.ok"],
  [/^role: server\.$/, "continuity.said.server"],
  [/^role: client\.$/, "continuity.said.client"],
  [/^It is entry (?<id>\S+)\.$/, "continuity.said.entry"],
  [/^It is whole and (?<n>\d+) s old\.$/, "continuity.said.whole"],
  [/^(?<n>\d+) bytes\.$/, "continuity.said.bytes"],
  [/^It answered (?<n>\d+)\.$/, "continuity.said.answered"],
  [/^It did not answer: (?<why>.+)\.$/, "continuity.said.silent"],
  [/^Its answer holds no .+\.$/, "continuity.said.incomplete"],
  [/^The pack does not verify\.$/, "continuity.said.unverified"],
  [/^The main program took entry (?<id>\S+)\.$/, "continuity.said.took"],
  [/^Entry (?<id>\S+) is not among what arrived \(status (?<n>\d+)\)\.$/, "continuity.said.untaken"],
  [/^Nothing was written that could be taken\.$/, "continuity.said.nothingWritten"],
  [/^The watchdog ended before the entry was seen to arrive\.$/, "continuity.said.unseen"],
  [/^The watchdog ended before the drill did\.$/, "continuity.said.brokenOff"],
  [/^The main program is back\.$/, "continuity.said.back"],
  [/^The main program answers again\.$/, "continuity.said.again"],
  [/^Asked to end, the main program (?<end>.+)\.$/, "continuity.said.mainAsked"],
  [/^The main program (?<end>.+) on its way back\.$/, "continuity.said.mainReturning"],
  [/^Plan B (?<end>.+) during the drill\.$/, "continuity.said.planbDuring"],
  [/^The watchdog was told to end\.$/, "continuity.said.told"],
  [/^A drill needs a main program that is well, and no other drill\.$/, "continuity.said.declined"],
  [/^It watches: (?<what>.+)$/, "continuity.said.watches"],
  [/^It is well (?<n>\d+) ms after its start\.$/, "continuity.said.well"],
  [/^It runs; nothing asks how it is\.$/, "continuity.said.runs"],
  [/^(?<n>\d+) answers in a row are missing\. (?<why>.+)$/, "continuity.said.missing"],
  [/^No answer within (?<n>\d+) s of its start\.$/, "continuity.said.late"],
  [/^(?<n>\d+) starts within (?<window>\d+) s: the next is in (?<rest>\d+) s\.$/, "continuity.said.resting"],
  [/^(?<name>[A-Z0-9]+) came and is handed on\.$/, "continuity.said.handedOn"],
  [/^(?<name>[A-Z0-9]+) asked for it\.$/, "continuity.said.asked"],
  [/^(?<who>.+) asks for (?<n>\d+) s of Plan B\.$/, "continuity.said.wished"],
  [/^Its store failed\.$/, "continuity.said.store"],
  [/^no answer within (?<n>\d+) ms\.?$/, "continuity.said.noAnswer"],
  [/^no HTTP was answered\.?$/, "continuity.said.noHttp"],
  [/^Connection refused \(os error 111\)\.?$/, "continuity.said.refused"],
  [/^Connection reset by peer \(os error 104\)\.?$/, "continuity.said.reset"],
  [/^No such file or directory \(os error 2\)\.?$/, "continuity.said.noFile"],
  [/^(?:The main program |It )?ended with code (?<n>-?\d+)\.?$/, "continuity.said.code"],
  [/^(?:The main program |It )?was ended by the signal (?<name>\w+)\.?$/, "continuity.said.signal"],
  [/^(?:The main program |It )?could not be started: (?<why>.+?)\.?$/, "continuity.said.neverBegan"],
  [/^(?:The main program |It )?ended, nobody knows how\.?$/, "continuity.said.unknown"],
];

function one(text: string): Said | null {
  for (const [pattern, key] of SENTENCES) {
    const found = pattern.exec(text);
    if (!found) continue;
    const values: Record<string, string> = { ...found.groups };
    const nested = NESTED.map((name) => values[name]).find((value) => value !== undefined);
    return { key, values, text, ...(nested === undefined ? {} : { inner: one(nested) ?? { values: {}, text: nested } }) };
  }
  return null;
}

/** A detail, sentence by sentence; what is not known stays as it came. */
export function taken(detail: string): Said[] {
  const whole = one(detail);
  if (whole) return [whole];
  // A drill's remarks stand one after the other.
  return detail.split(/(?<=\.) (?=[A-Z])/).map((text) => one(text) ?? { values: {}, text });
}
