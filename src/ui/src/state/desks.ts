// The pages of the administration: where they stand, who may open them, and their order.
import type { Component } from "svelte";
import { language, type Part } from "../i18n/language.svelte";
import { BASE } from "./route.svelte";

type Loaded = Promise<{ default: Component<any> }>;
interface Reader {
  may: (right: string) => boolean;
  me: unknown;
}

interface Desk {
  name: string;
  /** The list it belongs to, where it is one thing of a list. */
  of?: string;
  path: RegExp;
  right: string;
  load: () => Loaded;
}

/** Some pages bring their own sentences. */
function page(load: () => Loaded, ...parts: Part[]): () => Loaded {
  return async () => {
    const [loaded] = await Promise.all([load(), ...(parts.length > 0 ? parts : ["admin" as Part]).map((part) => language.also(part))]);
    return loaded;
  };
}

export const DESKS: Desk[] = [
  { name: "users", path: /^\/ui\/admin(?:\/users)?$/, right: "manage_rights", load: page(() => import("../pages/Users.svelte")) },
  { name: "user", of: "users", path: /^\/ui\/admin\/users\/(\d+)$/, right: "manage_rights", load: page(() => import("../pages/User.svelte")) },
  { name: "roles", path: /^\/ui\/admin\/roles$/, right: "manage_rights", load: page(() => import("../pages/Roles.svelte")) },
  { name: "role", of: "roles", path: /^\/ui\/admin\/roles\/(\d+|new)$/, right: "manage_rights", load: page(() => import("../pages/Role.svelte")) },
  { name: "sessions", path: /^\/ui\/admin\/sessions$/, right: "view_sauron", load: page(() => import("../pages/Sessions.svelte")) },
  { name: "apikeys", path: /^\/ui\/admin\/apikeys$/, right: "manage_rights", load: page(() => import("../pages/ApiKeys.svelte")) },
  { name: "journal", path: /^\/ui\/admin\/journal$/, right: "view_sauron", load: page(() => import("../pages/Journal.svelte")) },
  { name: "models", path: /^\/ui\/admin\/models$/, right: "manage_assistant", load: page(() => import("../pages/Models.svelte"), "admin", "assistant") },
  { name: "continuity", path: /^\/ui\/admin\/continuity$/, right: "use_continuity", load: page(() => import("../pages/Continuity.svelte"), "admin", "continuity") },
];

/** Pages outside of the administration that need a right of their own. */
export const ROOMS: Desk[] = [
  { name: "assistant", path: /^\/ui\/assistant(?:\/[^/]+)?$/, right: "use_assistant", load: page(() => import("../pages/Assistant.svelte"), "assistant") },
  { name: "history", path: /^\/ui\/history$/, right: "use_assistant", load: page(() => import("../pages/History.svelte"), "assistant") },
];

/** The lists, in the order of their tabs, as far as this reader may open them. */
export function desksOf(reader: Reader): { name: string; href: string }[] {
  const open = DESKS.filter((desk) => !desk.of && reader.may(desk.right));
  return open.map(({ name }) => ({ name, href: `${BASE}/admin/${name}` }));
}

/** The tab under which a page stands. */
export function tabOf(name: string): string {
  return DESKS.find((desk) => desk.name === name)?.of ?? name;
}

export function isDesk(name: string): boolean {
  return DESKS.some((desk) => desk.name === name);
}

/** The page at `path`, where this reader may not open it. */
export function closedTo(reader: Reader, path: string): Desk | undefined {
  return reader.me === null ? undefined : [...DESKS, ...ROOMS].find((desk) => desk.path.test(path) && !reader.may(desk.right));
}

/** Whether the reader may open any of them. */
export function inside(reader: Reader): boolean {
  return reader.me !== null && desksOf(reader).length > 0;
}

export function firstDesk(reader: Reader): string {
  return desksOf(reader)[0]?.href ?? `${BASE}/`;
}
