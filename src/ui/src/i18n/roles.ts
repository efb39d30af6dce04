// What roles are for and what rights and scopes bring with them, in the reader's words.
import type { Key } from "./fr";
import { has, t } from "./language.svelte";
import { rightName } from "./rights";

/** The sentences that the box itself writes about its roles, so that a site's own words are told apart from them. */
const BY_THE_BOX: Record<string, string> = {
  viewer: "Sees the planning, changes nothing.",
  planner: "Plans missions and voyages.",
  planner_advanced: "Plans, corrects the past and sees the money.",
  driver_admin: "Keeps the chauffeurs and their absences.",
  finance: "Keeps subcontractors, tariffs and revenue.",
  analyse: "Reads the statistics and the money.",
  admin: "May do everything.",
  user: "An employee: own devices, own passes, own punches.",
  manager: "An employee who sees everybody's presence.",
  readonly: "Sees own servers and sessions, connects to nothing.",
  operator: "Works on own servers.",
};

export function roleAbout(role: { name: string; description: string }): string {
  const key = `role.meant.${role.name}`;
  return BY_THE_BOX[role.name] === role.description && has(key) ? t(key as Key) : role.description;
}

/** What a right brings with it, beyond its name. */
export function rightAbout(name: string): string {
  const key = `right.meant.${name}`;
  return has(key) ? t(key as Key) : "";
}

/** What a key may do: a permission, or a word for several. */
export function scopeName(name: string): string {
  const key = `scope.${name}`;
  return has(key) ? t(key as Key) : rightName(name);
}
