// What the journal tells, in the reader's words: deeds, doors, and what a deed changed.
import { dayAndTime, has, language, number, t } from "./language.svelte";
import type { Key } from "./fr";
import { rightName, roleName } from "./rights";
import { scopeName } from "./roles";

/** A deed in words; one the pages have not heard of keeps its own name. */
export function deedName(deed: string): string {
  const key = `deed.${deed}`;
  return has(key) ? t(key as Key) : deed;
}

function taskName(task: string): string {
  const key = `task.${task}`;
  return has(key) ? t(key as Key) : task;
}

/** Who did it, where that is no account. */
export function whoName(link: { who: string; door: string }): string {
  if (link.who === "nobody") return t("journal.nobody");
  if (link.door === "inside") return t("journal.box", { task: taskName(link.who) });
  return link.door === "console" ? t("journal.console") : link.who;
}

/** A moment to the second, short: many lines stand below each other. */
export function stamp(at: string): string {
  const locale = language.code === "fr" ? "fr-FR" : "en-GB";
  return new Intl.DateTimeFormat(locale, { dateStyle: "short", timeStyle: "medium" }).format(new Date(at));
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What narrows a reading of the journal: `name=value`, and a value may hold spaces. */
const NARROWED = / (\w+)=(.*?)(?= \w+=|$)/g;

function narrowing(name: string, told: string): string {
  if (name === "door") return doorName(told);
  if (name !== "deed") return told;
  // The filter by a noun ends in a point: all its deeds begin with it.
  const noun = `noun.${told.replace(/\.$/, "")}`;
  return has(noun) ? t(noun as Key) : deedName(told);
}

/** A reading as the journal keeps it, `journal who=paul door=key`, in words. */
function readingName(reading: string): string {
  const list = `reading.${reading.split(" ", 1)[0] ?? ""}`;
  if (!has(list)) return reading;
  const filters = [...reading.matchAll(NARROWED)].map(([, name = "", told = ""]) => {
    const key = `filter.${name}`;
    return t("journal.pair", { name: has(key) ? t(key as Key) : name, value: narrowing(name, told) });
  });
  return [t(list as Key), ...filters].join(", ");
}

/** Under which of these a thing is known best, in this order. */
const NAMED_BY = ["name", "display_name", "username", "email"];

/** An object by its name, or by the one that the deed tells of it; an id is told by its end, which differs first. */
export function objectName({ object, deed, before, after }: { object: string; deed: string; before?: unknown; after?: unknown }): { text: string; id: boolean } {
  if (deed === "activity.read") return { text: readingName(object), id: false };
  if (deed.startsWith("role.")) return { text: roleName(object), id: false };
  if (UUID.test(object)) {
    for (const state of [after, before]) {
      const told = members(state);
      const name = NAMED_BY.map((one) => told?.[one]).find((one) => typeof one === "string" && one !== "");
      if (name) return { text: name as string, id: false };
    }
  }
  return UUID.test(object) ? { text: `…${object.slice(-12)}`, id: true } : { text: object, id: false };
}

/** The two roles of a deed that changed somebody's, by their names on the wire. */
export function roleChange(link: { deed: string; before?: unknown; after?: unknown }): { from: string; to: string } | null {
  const [from, to] = [members(link.before)?.role, members(link.after)?.role];
  return link.deed.startsWith("user.") && typeof from === "string" && typeof to === "string" && from !== to ? { from, to } : null;
}

export function doorName(door: string): string {
  const key = `door.${door}`;
  return has(key) ? t(key as Key) : door;
}

export function offenceName(wrong: string): string {
  const key = `chain.wrong.${wrong}`;
  return has(key) ? t(key as Key) : wrong;
}

function memberName(name: string): string {
  const key = `member.${name}`;
  return has(key) ? t(key as Key) : name;
}

/** Moments are whole ISO times in the box's answers. */
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/;
/** Moments that the journal keeps as the box counts them: milliseconds since 1970. */
const COUNTED = /(?:_at|^until|^proved)$/;

/** What one member of a list is, where it has words of its own. */
const ONE_OF: Record<string, string> = { rights: "right", scopes: "scope", roles: "role" };

function value(name: string, told: unknown): string {
  if (told === null || told === undefined || told === "") return "–";
  if (typeof told === "boolean") return t(told ? "yes" : "no");
  if (typeof told === "number") return COUNTED.test(name) && told > 1e11 ? dayAndTime(new Date(told)) : number(told, 3);
  if (typeof told === "string") {
    if (MOMENT.test(told)) return dayAndTime(told);
    if (name === "role") return roleName(told);
    if (name === "right") return rightName(told);
    if (name === "scope") return scopeName(told);
    if (name === "kind" && has(`keykind.${told}`)) return t(`keykind.${told}` as Key);
    if (name === "way" && has(`way.${told}`)) return t(`way.${told}` as Key);
    if (name === "state" && has(`standing.${told}`)) return t(`standing.${told}` as Key);
    return told;
  }
  if (Array.isArray(told)) return told.length === 0 ? "–" : told.map((one) => value(ONE_OF[name] ?? "", one)).join(", ");
  return JSON.stringify(told);
}

/** One thing that a deed set, or changed. */
export interface Change {
  name: string;
  /** The name under which the box keeps it. */
  raw: string;
  before: string | null;
  after: string | null;
}

type Members = Record<string, unknown>;

function members(state: unknown): Members | null {
  if (state === null || state === undefined) return null;
  if (Array.isArray(state)) {
    // Counts by sort, as an offboarding tells them.
    const pairs = state.filter((one): one is { what: string; count: number } => typeof one?.what === "string");
    return pairs.length === state.length ? Object.fromEntries(pairs.map((one) => [one.what, one.count])) : { "": state };
  }
  return typeof state === "object" ? (state as Members) : { "": state };
}

/** What two states differ in; with only one of them, all that it says. */
export function changes(before: unknown, after: unknown): Change[] {
  const [old, now] = [members(before), members(after)];
  const names = [...new Set([...Object.keys(old ?? {}), ...Object.keys(now ?? {})])];
  const changed: Change[] = [];
  for (const raw of names) {
    const [x, y] = [old?.[raw], now?.[raw]];
    if (old && now && JSON.stringify(x) === JSON.stringify(y)) continue;
    const name = memberName(raw);
    if (old && now && Array.isArray(x) && Array.isArray(y)) {
      // Of two lists only what left and what came.
      const left = x.filter((one) => !y.some((other) => JSON.stringify(other) === JSON.stringify(one)));
      const came = y.filter((one) => !x.some((other) => JSON.stringify(other) === JSON.stringify(one)));
      changed.push({ name, raw, before: left.length > 0 ? `− ${value(raw, left)}` : null, after: came.length > 0 ? `+ ${value(raw, came)}` : null });
    } else changed.push({ name, raw, before: old ? value(raw, x) : null, after: now ? value(raw, y) : null });
  }
  return changed;
}
