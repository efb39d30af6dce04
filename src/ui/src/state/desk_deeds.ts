// What administrators do to accounts and sessions from more than one page: asked first, told after.
import { tick } from "svelte";
import type { ApiKey, OpenSession, Role, User } from "../api/admin";
import { answer, box } from "../api/client";
import { agentName } from "../i18n/agents";
import { ago, has, t, tn } from "../i18n/language.svelte";
import type { Counted } from "../i18n/language.svelte";
import { roleName } from "../i18n/rights";
import { type Question, asker } from "./ask.svelte";
import { notices } from "./notices.svelte";
import { BASE, go } from "./route.svelte";
import { withStepUp } from "./step_up.svelte";

/** Shows a list anew after a deed; whose row is gone finds the focus at the top of the page instead of nowhere. */
export async function anew(load: () => Promise<void>): Promise<void> {
  await load();
  await tick();
  const lost = document.activeElement === null || document.activeElement === document.body;
  if (lost) document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true });
}

/** Asks, does, tells; true when it was done. */
async function deed(question: Question, call: () => Promise<unknown>, done: string): Promise<boolean> {
  if (!(await asker.ask(question))) return false;
  try {
    await withStepUp(call);
    notices.say(done);
    return true;
  } catch (caught) {
    notices.refuse(caught);
    return false;
  }
}

export function endSession(one: OpenSession): Promise<boolean> {
  const who = one.display_name || one.username;
  return deed(
    {
      title: t("session.endTitle", { who }),
      body: [t("session.endBody", { program: agentName(one.client) || t("session.unknown"), address: one.client_ip ?? "?" })],
      action: t("session.end"),
      danger: true,
    },
    () => answer(box.POST("/admin/sessions/{id}/kick", { params: { path: { id: one.session_id } } })),
    t("session.ended", { who }),
  );
}

export function endSessionsOf(username: string, who: string, count: number): Promise<boolean> {
  return deed(
    { title: tn("session.endAllTitle", count, { who }), body: [t("session.endAllBody")], action: t("session.endAll"), danger: true },
    () => answer(box.POST("/admin/sessions/disconnect/{username}", { params: { path: { username } } })),
    t("session.allEnded", { who }),
  );
}

export function endOthers(count: number): Promise<boolean> {
  return deed(
    { title: tn("session.endOthersTitle", count), body: [t("session.endOthersBody")], action: t("session.endOthers"), danger: true },
    () => answer(box.POST("/admin/sessions/kick-all")),
    t("session.othersEnded"),
  );
}

export function resetFactor(user: User): Promise<boolean> {
  const who = user.display_name;
  return deed(
    { title: t("user.factorResetTitle", { who }), body: [t("user.factorResetBody")], action: t("user.factorReset"), danger: true },
    () => answer(box.POST("/admin/users/{id}/totp/reset", { params: { path: { id: user.id } } })),
    t("user.factorResetDone", { who }),
  );
}

/** One sort of thing that an offboarding takes, in words. */
function takenLine(what: string, count: number): string {
  const base = `taken.${what}`;
  return has(`${base}.one`) ? tn(base as Counted, count) : `${what}: ${count}`;
}

/** Shows what an offboarding takes, asks, and does it. */
export async function offboard(user: User): Promise<boolean> {
  const call = (dry: boolean) =>
    answer(box.POST("/admin/users/{id}/offboard", { params: { path: { id: user.id }, query: { dry_run: dry } } }));
  try {
    const { taken } = await call(true);
    const lines = Object.entries(taken as Record<string, number>).filter(([, count]) => count > 0);
    const who = user.display_name;
    return await deed(
      {
        title: t("offboard.title", { who }),
        body: [t("offboard.body"), lines.length > 0 ? t("offboard.takes") : t("offboard.takesNothing")],
        plan: [...lines.map(([what, count]) => takenLine(what, count)), t("offboard.password")],
        action: t("offboard.action"),
        danger: true,
      },
      () => call(false),
      t("offboard.done", { who }),
    );
  } catch (caught) {
    notices.refuse(caught);
    return false;
  }
}

/** Deletes a role that nobody has; says who has it where somebody does. */
export async function removeRole(role: Role): Promise<boolean> {
  const name = roleName(role.name);
  if (role.users > 0) {
    const look = await asker.ask({
      title: t("role.usedTitle", { role: name }),
      body: [tn("role.usedBody", role.users)],
      action: t("role.usedLook"),
    });
    if (look) go(`${BASE}/admin/users?role=${encodeURIComponent(role.name)}`);
    return false;
  }
  return deed(
    { title: t("role.deleteTitle", { role: name }), body: [tn("role.deleteBody", role.rights.length), t("role.deleteFinal")], action: t("role.delete"), danger: true },
    () => answer(box.DELETE("/admin/roles/{id}", { params: { path: { id: role.id } } })),
    t("role.deleted", { role: name }),
  );
}

export function removeKey(one: ApiKey): Promise<boolean> {
  const { name, owner } = one;
  return deed(
    {
      title: t("allkeys.deleteTitle", { name }),
      body: [t("allkeys.deleteBody", { owner, used: one.last_used_at ? ago(one.last_used_at) : t("never") }), t("allkeys.deleteFinal")],
      action: t("allkeys.delete"),
      danger: true,
    },
    () => answer(box.DELETE("/apikeys/{id}", { params: { path: { id: one.id } } })),
    t("allkeys.deleted", { name }),
  );
}
