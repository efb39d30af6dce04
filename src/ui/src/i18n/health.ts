// The parts of the box and what to do about them, in the reader's words where there are some.
import { has, t } from "./language.svelte";
import type { Key } from "./fr";

export type Level = "ok" | "reduced" | "failed";

/** A level the pages do not know is worth a look, so it counts as reduced. */
export function levelOf(told: string): Level {
  return told === "ok" || told === "failed" ? told : "reduced";
}

/** A background task tells of itself as `task NAME`. */
const TASK = "task ";

export function partName(name: string): string {
  if (name.startsWith(TASK)) return t("part.task", { name: name.slice(TASK.length) });
  const key = `part.${name}`;
  return has(key) ? t(key as Key) : name;
}

/** A sentence for a part at a level, or null where only the part itself can tell. */
export function partAdvice(name: string, level: string): string | null {
  const key = `part.${name.startsWith(TASK) ? "task" : name}.${level}`;
  return has(key) ? t(key as Key) : null;
}
