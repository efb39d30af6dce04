// What the pages ask of Plan B: how it is, its keys, its pack, its watchdog, drills, and what came back.
import { answer, box } from "./client";
import { asFault } from "./fault";
import type { paths } from "./schema";
import type { Success } from "./shapes";

export type Continuity = Success<paths["/continuity"]["get"]>;
export type Pack = NonNullable<Continuity["pack"]>;
export type ScopedKey = NonNullable<Continuity["keys"]>[number];
export type DrillWish = NonNullable<Continuity["drill"]>["wish"];
export type Seen = Success<paths["/continuity/history"]["get"]>["items"][number];
export type Drill = Success<paths["/continuity/drills"]["get"]>["items"][number];
export type Report = Success<paths["/continuity/reports"]["get"]>["items"][number];
export type Arrival = Success<paths["/continuity/arrivals"]["get"]>["items"][number];
export type NewKey = Success<paths["/continuity/keys"]["post"]>;

export const continuity = {
  state: () => answer(box.GET("/continuity")),
  history: (limit: number) => answer(box.GET("/continuity/history", { params: { query: { limit } } })),
  drills: () => answer(box.GET("/continuity/drills")),
  drill: (seconds: number) => answer(box.POST("/continuity/drill", { body: { seconds } })),
  setRole: (role: string) => answer(box.POST("/continuity/role", { body: { role } })),
  rotateKey: (grace_seconds: number | null) =>
    answer(box.POST("/continuity/key/rotate", { body: grace_seconds === null ? {} : { grace_seconds } })),
  addKey: (body: { name: string; scopes: string[]; days?: number }) => answer(box.POST("/continuity/keys", { body })),
  removeKey: (name: string) => answer(box.DELETE("/continuity/keys/{name}", { params: { path: { name } } })),
  rotateSealing: () => answer(box.POST("/continuity/sealing/rotate")),
  writePack: () => answer(box.POST("/continuity/pack")),
  reports: () => answer(box.GET("/continuity/reports")),
  arrivals: (query: { open?: boolean; file?: string; limit?: number; before?: string }) =>
    answer(box.GET("/continuity/arrivals", { params: { query } })),
  done: (id: string, remark: string) =>
    answer(box.POST("/continuity/arrivals/{id}/done", { params: { path: { id } }, body: { remark } })),
};

/** Who answers at the box's address: the main program, Plan B, or nobody. */
export type Answering = "main" | "planb" | "nobody";

/** A box that does not say who it is within this time counts as nobody. */
const ASKED_MS = 2_000;

/** What Plan B says of itself in every answer. */
const MODE = "x-ilot-mode";

/** Asks `/health`, which both answer without a sign-in. */
export async function whoAnswers(): Promise<Answering> {
  try {
    const got = await fetch("/health", { cache: "no-store", signal: AbortSignal.timeout(ASKED_MS) });
    if (!got.ok) return "nobody";
    return got.headers.get(MODE) === "planb" ? "planb" : "main";
  } catch {
    return "nobody";
  }
}

/** Whether a call failed because the main program is away. */
export function isAway(caught: unknown): boolean {
  const { code } = asFault(caught);
  return code === "planb_mode" || code === "unreachable";
}
