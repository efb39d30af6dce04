// What would be lost by leaving the page: asked before the reader goes, by whichever way.
import { t } from "../i18n/language.svelte";
import { asker, type Question } from "./ask.svelte";
import { session } from "./session.svelte";

const held = new Set<() => Question>();

function unload(event: BeforeUnloadEvent): void {
  event.preventDefault();
}

/** Keeps the page from being left without `question`, until the answer is called. */
export function guard(question: () => Question): () => void {
  if (held.size === 0) addEventListener("beforeunload", unload);
  held.add(question);
  return () => {
    held.delete(question);
    if (held.size === 0) removeEventListener("beforeunload", unload);
  };
}

/** The guard of a form with changes that are not saved. */
export function guardUnsaved(): () => void {
  return guard(() => ({ title: t("guard.unsaved"), body: [], action: t("guard.leave"), stay: t("guard.stay") }));
}

export function guarded(): boolean {
  return held.size > 0;
}

/** Whether the page may be left: at once where nothing would be lost, else by the reader's word. */
export async function mayLeave(): Promise<boolean> {
  for (const question of [...held]) {
    const asked = question();
    // While the reader signs in again no dialog of the pages is open; the browser's own still is.
    const yes = session.away ? confirm(asked.title) : await asker.ask(asked);
    if (!yes) return false;
  }
  return true;
}
