// What the pages ask of Plan B: how it is, its keys, its pack, its watchdog, drills, and what came back.
import { answer, box } from "./client";
import { asFault } from "./fault";

export interface Title {
  fr: string;
  en: string;
}

export interface PackSection {
  id: string;
  title: Title;
  rows: number;
  /** Since when it could not be renewed. */
  stale_since?: string | null;
}

export interface Pack {
  made_at: string;
  generation: number;
  verified: boolean;
  bytes: number;
  sections: PackSection[];
  people: number;
  doors: number;
  papers: { name: string; bytes: number; sha256: string }[];
  left_out: { name: string; why: string }[];
}

export interface Watchdog {
  alive: boolean;
  phase: string;
  since: string;
  pid: number;
  began_at: string;
  target: string[];
  main_pid?: number | null;
  planb_pid?: number | null;
  starts_in_window: number;
  starts_max: number;
  next_start_at?: string | null;
  last_end?: string | null;
  drill_until?: string | null;
}

export interface ScopedKey {
  name: string;
  scopes: string[];
  made_at: string;
  expires_at?: string | null;
}

export interface DrillWish {
  id: string;
  seconds: number;
  by: string;
  at: string;
}

export interface Continuity {
  role: string;
  node_id: string;
  address?: string | null;
  key: { made_at: string; previous_until?: string | null; backups: { name: string; at: string }[] };
  keys: ScopedKey[];
  sealing: { key_made_at: string; messages: number; warn_at: number; limit: number; earlier_keys: number };
  pack?: Pack | null;
  watchdog?: Watchdog | null;
  outbox: { files: number; entries: number; waiting: number; open: number };
  drill?: { wish: DrillWish } | null;
}

export interface Seen {
  at: string;
  what: string;
  pid?: number | null;
  detail: string;
}

export interface Trial {
  what: string;
  ok: boolean;
  detail: string;
  took_ms: number;
}

export interface Drill {
  id: string;
  by: string;
  began_at: string;
  seconds: number;
  planb_after_ms?: number | null;
  main_after_ms?: number | null;
  ended_at?: string | null;
  trials: Trial[];
  ok: boolean;
  signed: boolean;
}

export interface Report {
  file: string;
  first_at: string;
  last_at: string;
  taken_at: string;
  entries: number;
  taken: number;
  conflicts: number;
  notes: number;
  waiting: number;
  damage?: string | null;
}

export interface Outcome {
  state: string;
  record?: string;
  code?: string;
  reason?: string;
  by?: string;
  at?: string;
  remark?: string;
}

export interface Arrival {
  id: string;
  file: string;
  seq: number;
  kind: string;
  at: string;
  by: string;
  body: unknown;
  taken_at: string;
  outcome: Outcome;
}

export interface NewKey {
  name: string;
  api_key: string;
  scopes: string[];
  expires_at?: string | null;
}

export const continuity = {
  state: () => answer(box.GET("/continuity")) as Promise<Continuity>,
  history: (limit: number) => answer(box.GET("/continuity/history", { params: { query: { limit } } })) as Promise<{ items: Seen[] }>,
  drills: () => answer(box.GET("/continuity/drills")) as Promise<{ items: Drill[] }>,
  drill: (seconds: number) => answer(box.POST("/continuity/drill", { body: { seconds } })) as Promise<{ id: string; seconds: number }>,
  setRole: (role: string) => answer(box.POST("/continuity/role", { body: { role } })),
  rotateKey: (grace_seconds: number | null) =>
    answer(box.POST("/continuity/key/rotate", { body: grace_seconds === null ? {} : { grace_seconds } })) as Promise<{ api_key: string }>,
  addKey: (body: { name: string; scopes: string[]; days?: number }) => answer(box.POST("/continuity/keys", { body })) as Promise<NewKey>,
  removeKey: (name: string) => answer(box.DELETE("/continuity/keys/{name}", { params: { path: { name } } })),
  rotateSealing: () => answer(box.POST("/continuity/sealing/rotate")),
  writePack: () => answer(box.POST("/continuity/pack")) as Promise<Pack>,
  reports: () => answer(box.GET("/continuity/reports")) as Promise<{ items: Report[] }>,
  arrivals: (query: { open?: boolean; file?: string; limit?: number; before?: string }) =>
    answer(box.GET("/continuity/arrivals", { params: { query } })) as Promise<{ items: Arrival[]; total_open: number }>,
  done: (id: string, remark: string) =>
    answer(box.POST("/continuity/arrivals/{id}/done", { params: { path: { id } }, body: remark ? { remark } : {} })),
};

/** Who answers at the box's address: the main program, Plan B, or nobody. */
export type Answering = "main" | "planb" | "nobody";

/** A box that does not say who it is within this time counts as nobody. */
const ASKED_MS = 2_000;

/** Asks `/health`, which both answer without a sign-in; only the main program tells how long it has been up. */
export async function whoAnswers(): Promise<Answering> {
  try {
    const got = await fetch("/health", { cache: "no-store", signal: AbortSignal.timeout(ASKED_MS) });
    if (!got.ok) return "nobody";
    const told: unknown = await got.json();
    return typeof told === "object" && told !== null && "uptime_seconds" in told ? "main" : "planb";
  } catch {
    return "nobody";
  }
}

/** Whether a call failed because the main program is away. */
export function isAway(caught: unknown): boolean {
  const { code } = asFault(caught);
  return code === "planb_mode" || code === "unreachable";
}
