// What would be lost by leaving the page: asked before the reader goes, by whichever way.
import { t } from "../i18n/language.svelte";
import { asker, type Question } from "./ask.svelte";
import { session } from "./session.svelte";

/** What is held, and whether it would only be lost with the pages as a whole. */
const held = new Map<() => Question, { stays: boolean }>();

function unload(event: BeforeUnloadEvent): void {
  event.preventDefault();
}

/**
 * Keeps the page from being left without `question`, until the answer is called. What `stays` is kept while the reader
 * goes from page to page: it is asked about only where the pages are closed or somebody signs out.
 */
export function guard(question: () => Question, { stays = false } = {}): () => void {
  if (held.size === 0) addEventListener("beforeunload", unload);
  held.set(question, { stays });
  return () => {
    held.delete(question);
    if (held.size === 0) removeEventListener("beforeunload", unload);
  };
}

/** The guard of a form with changes that are not saved. */
export function guardUnsaved(): () => void {
  return guard(() => ({ title: t("guard.unsaved"), body: [], action: t("guard.leave"), stay: t("guard.stay") }));
}

/** Whether something would be lost by going to another page. */
export function guarded(): boolean {
  return [...held.values()].some(({ stays }) => !stays);
}

/** Whether the page, or with `all` the pages, may be left: at once where nothing would be lost, else by the reader's word. */
export async function mayLeave({ all = false } = {}): Promise<boolean> {
  for (const [question, { stays }] of [...held]) {
    if (stays && !all) continue;
    const asked = question();
    // While the reader signs in again no dialog of the pages is open; the browser's own still is.
    const yes = session.away ? confirm(asked.title) : await asker.ask(asked);
    if (!yes) return false;
  }
  return true;
}
