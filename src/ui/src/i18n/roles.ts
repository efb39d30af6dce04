// Roles and permissions in the reader's words; the name under which machines know one always stands beside it.
import type { Key } from "./fr";
import { has, t } from "./language.svelte";

/** A role every box begins with has a name in words; a site's own role is called what the site called it. */
export function roleName(name: string): string {
  const key = `role.named.${name}`;
  return has(key) ? t(key as Key) : name;
}

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

export function rightName(name: string): string {
  const key = `right.${name}`;
  return has(key) ? t(key as Key) : name;
}

export function rightAbout(name: string): string {
  const key = `right.meant.${name}`;
  return has(key) ? t(key as Key) : "";
}

/** Which permissions belong together, in the order in which people think of them. */
const GROUPS: [string, readonly string[]][] = [
  [
    "planning",
    [
      "view_planning", "edit_planning", "edit_past_planning", "edit_past_planning_advanced", "generate_planning", "manage_voyages",
      "view_drivers", "manage_drivers", "edit_driver_planning", "view_finance", "manage_finance", "view_analyse",
      "send_announcements", "manage_announcements_config",
    ],
  ],
  ["attendance", ["use_attendance", "view_attendance", "manage_attendance", "punch_for_others"]],
  ["assistant", ["read_documents", "edit_documents", "manage_collections", "use_assistant", "manage_assistant"]],
  ["remote", ["view_remote", "use_remote", "manage_remote"]],
  ["plugins", ["use_plugins", "manage_plugins"]],
  ["jobs", ["view_jobs", "manage_jobs"]],
  ["backup", ["manage_backups", "restore_backups", "use_continuity"]],
  ["administration", ["manage_rights", "view_sauron", "export_activity", "admin_access"]],
];

export interface Group {
  name: string;
  rights: string[];
}

/** The box's permissions by domain; those this page has not heard of stand last. */
export function grouped(rights: readonly string[]): Group[] {
  const known = new Set(GROUPS.flatMap(([, names]) => names));
  const groups = GROUPS.map(([name, names]) => ({ name, rights: names.filter((right) => rights.includes(right)) }));
  groups.push({ name: "others", rights: rights.filter((right) => !known.has(right)) });
  return groups.filter((group) => group.rights.length > 0);
}

/** What a key may do: a permission, or a word for several. */
export function scopeName(name: string): string {
  const key = `scope.${name}`;
  return has(key) ? t(key as Key) : rightName(name);
}
