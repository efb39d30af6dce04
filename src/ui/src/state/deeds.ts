// What can be done to a document from more than one page.
import { answer, box } from "../api/client";
import type { Doc } from "../api/shapes";
import { t, tn } from "../i18n/language.svelte";
import { asker } from "./ask.svelte";
import { notices } from "./notices.svelte";
import { withStepUp } from "./step_up.svelte";

/** Asks, deletes, and tells; true when the document is gone. */
export async function removeDocument(doc: Doc): Promise<boolean> {
  const title = doc.title || doc.path;
  const sure = await asker.ask({
    title: t("delete.title", { title }),
    body: [
      doc.passages > 0 ? tn("delete.body", doc.passages, { path: doc.path }) : t("delete.unread", { path: doc.path }),
      t("delete.final"),
    ],
    action: t("delete.action"),
    danger: true,
  });
  if (!sure) return false;
  try {
    await answer(box.DELETE("/rag/documents/{id}", { params: { path: { id: doc.id } } }));
    notices.say(t("delete.done", { title }));
    return true;
  } catch (caught) {
    notices.refuse(caught);
    return false;
  }
}

/** Puts a document into the continuity pack or takes it out of it; gives it as it then is, or nothing where it stayed. */
export async function packDocument(doc: Doc, wanted: boolean): Promise<Doc | null> {
  const params = { params: { path: { id: doc.id } } };
  const title = doc.title || doc.path;
  try {
    const now = await withStepUp(() => answer(wanted ? box.PUT("/rag/documents/{id}/pack", params) : box.DELETE("/rag/documents/{id}/pack", params)));
    notices.say(t(wanted ? "document.packed" : "document.unpacked", { title }));
    return now;
  } catch (caught) {
    notices.refuse(caught);
    return null;
  }
}

/** Has a document read again from its kept bytes; true when the box took it up. */
export async function rereadDocument(doc: Doc): Promise<boolean> {
  try {
    await answer(box.POST("/rag/documents/{id}/reindex", { params: { path: { id: doc.id } } }));
    notices.say(t("documents.rereading", { title: doc.title || doc.path }));
    return true;
  } catch (caught) {
    notices.refuse(caught);
    return false;
  }
}
