// Which language the pages speak, and how they say words, numbers, dates and sizes in it.
import type { Key } from "./fr";

export type Code = "fr" | "en";
/** Sentences of a part are missing until it was asked for. */
type Words = Partial<Record<Key, string>>;
const KEPT = "ilot.language";

/** Only the language in use is fetched. */
const DICTIONARIES: Record<Code, () => Promise<Words>> = {
  fr: async () => ({ ...(await import("./fr")).fr, ...(await import("./account")).fr }),
  en: async () => ({ ...(await import("./en")).en, ...(await import("./account")).en }),
};

/** Sentences of pages that few people open: fetched with the first of them. */
const PARTS = {
  admin: { fr: async () => (await import("./admin.fr")).fr, en: async () => (await import("./admin.en")).en },
  assistant: { fr: async () => (await import("./assistant.fr")).fr, en: async () => (await import("./assistant.en")).en },
  continuity: { fr: async () => (await import("./continuity.fr")).fr, en: async () => (await import("./continuity.en")).en },
};
export type Part = keyof typeof PARTS;

/** `documents` for the keys `documents.one` and `documents.other`. */
export type Counted = { [K in Key]: K extends `${infer Base}.one` ? Base : never }[Key];
type Values = Record<string, string | number>;

class Language {
  code = $state<Code>("fr");
  words = $state.raw<Words | null>(null);
  private parts = new Set<Part>();
  /** The language that was asked for last; its words may still be on their way. */
  private wanted: Code = "fr";
  private latest: Promise<void> = Promise.resolve();

  /** Speaks `code` from now on; of several calls at once the last one holds, and all end with it. */
  use(code: Code): Promise<void> {
    this.wanted = code;
    const mine: Promise<void> = this.fetch(code, () => this.latest === mine).then(() => (this.latest === mine ? undefined : this.latest));
    this.latest = mine;
    return mine;
  }

  private async fetch(code: Code, holds: () => boolean): Promise<void> {
    const more = [...this.parts].map((part) => PARTS[part][code]());
    const [own, ...others] = await Promise.all([DICTIONARIES[code](), ...more]);
    if (!holds()) return;
    this.words = Object.assign({}, own, ...others) as Words;
    this.code = code;
    document.documentElement.lang = code;
  }

  /** Knows the sentences of a part too, from now on and in either language. */
  async also(part: Part): Promise<void> {
    if (this.parts.has(part)) return this.latest;
    this.parts.add(part);
    await this.use(this.wanted);
  }

  /** The reader's own choice, which this browser remembers. */
  async choose(code: Code): Promise<void> {
    await this.use(code);
    keep(KEPT, code);
  }
}

export const language = new Language();

/** Keeps a choice where the browser allows it. */
export function keep(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // A private window forgets; the choice still holds for this visit.
  }
}

/** A choice kept earlier. */
export function kept(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function known(code: string | null | undefined): Code | null {
  const short = code?.slice(0, 2);
  return short === "fr" || short === "en" ? short : null;
}

/** The reader's choice, else the site's language, else the browser's, else French. */
export function firstLanguage(site: string | null): Code {
  const fromBrowser = navigator.languages.map(known).find((code) => code !== null);
  return known(kept(KEPT)) ?? known(site) ?? fromBrowser ?? "fr";
}

/** Whether there is a sentence under this key. */
export function has(key: string): key is Key {
  return language.words !== null && key in language.words;
}

function fill(sentence: string, values: Values): string {
  return sentence.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? number(value) : value;
  });
}

/** The sentence under `key`, with `{names}` filled in. */
export function t(key: Key, values: Values = {}): string {
  return fill(language.words?.[key] ?? key, values);
}

/** The sentence for `count` things; `{n}` is the count. */
export function tn(base: Counted, count: number, values: Values = {}): string {
  const one = new Intl.PluralRules(language.code).select(count) === "one";
  return t(`${base}.${one ? "one" : "other"}` as Key, { n: count, ...values });
}

export function number(value: number, digits = 0): string {
  return new Intl.NumberFormat(language.code, { maximumFractionDigits: digits }).format(value);
}

export function percent(part: number): string {
  return new Intl.NumberFormat(language.code, { style: "percent", maximumFractionDigits: 0 }).format(part);
}

function moment(value: string): Date | null {
  // A bare date is a day on the calendar, not midnight in London.
  const at = new Date(/^\d{4}-\d{2}-\d{2}$/.test(value) ? `${value}T00:00:00` : value);
  return Number.isNaN(at.getTime()) ? null : at;
}

const LOCALE: Record<Code, string> = { fr: "fr-FR", en: "en-GB" };

export function day(value: string | null | undefined): string {
  const at = value ? moment(value) : null;
  return at ? new Intl.DateTimeFormat(LOCALE[language.code], { dateStyle: "medium" }).format(at) : (value ?? "");
}

export function dayAndTime(value: string | Date | null | undefined): string {
  const at = value instanceof Date ? value : value ? moment(value) : null;
  if (!at) return typeof value === "string" ? value : "";
  return new Intl.DateTimeFormat(LOCALE[language.code], { dateStyle: "medium", timeStyle: "short" }).format(at);
}

/** A whole date with seconds and the zone, for the check of clocks. */
export function clockFace(at: Date, timeZone?: string): string {
  return new Intl.DateTimeFormat(LOCALE[language.code], { dateStyle: "full", timeStyle: "medium", timeZone }).format(at);
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];
/** After this many days a date says more than "40 days ago". */
const RELATIVE_DAYS = 7;

/** "2 hours ago", or the date when that is long past. */
export function ago(value: string): string {
  const at = moment(value);
  if (!at) return value;
  const seconds = (at.getTime() - Date.now()) / 1000;
  if (Math.abs(seconds) > RELATIVE_DAYS * 86_400) return day(value);
  const words = new Intl.RelativeTimeFormat(language.code, { numeric: "auto" });
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return words.format(Math.round(seconds / size), unit);
  }
  return t("justNow");
}

/** A length of time in its two largest units. */
export function duration(seconds: number): string {
  const units: [string, number][] = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
  let left = Math.round(Math.abs(seconds));
  const said: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0 || (unit === "second" && said.length === 0)) {
      said.push(
        new Intl.NumberFormat(language.code, { style: "unit", unit, unitDisplay: "long" }).format(count),
      );
    }
    if (said.length === 2) break;
  }
  return said.join(" ");
}

const SIZES: Record<Code, string[]> = {
  fr: ["o", "Ko", "Mo", "Go", "To"],
  en: ["B", "KB", "MB", "GB", "TB"],
};

/** A size in bytes, for people. */
export function size(bytes: number): string {
  let value = bytes;
  let step = 0;
  while (value >= 1000 && step < 4) {
    value /= 1000;
    step += 1;
  }
  return `${number(value, value < 10 && step > 0 ? 1 : 0)} ${SIZES[language.code][step] ?? ""}`;
}

/** A language the box made out; `und` and nothing mean it could not. */
export function spoken(code: string | null | undefined): string | undefined {
  return code && code !== "und" ? code : undefined;
}

/** The name of a language, in the reader's language. */
export function languageName(code: string): string {
  try {
    return new Intl.DisplayNames([language.code], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}
