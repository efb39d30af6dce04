// Refusals in the reader's words: by code where there is a sentence for it, else the box's own.
import type { FieldFault } from "../api/fault";
import { duration, has, t } from "./language.svelte";
import type { Key } from "./fr";

/** A refusal as a sentence. */
export function sentence(fault: { code: string; detail: string; retryAfter?: number | null }): string {
  const key = `fault.${fault.code}`;
  const said = has(key) ? t(key as Key) : fault.detail || t("fault.unnamed", { code: fault.code });
  return fault.retryAfter ? `${said} ${t("fault.retry", { pause: duration(fault.retryAfter) })}` : said;
}

/** A complaint about one field as a sentence; one made for the field of that name comes before one for every field. */
export function complaint(field: FieldFault | undefined, name = ""): string | undefined {
  if (!field) return undefined;
  const own = `field.${name}.${field.type}`;
  if (has(own)) return t(own as Key);
  const key = `field.${field.type}`;
  return has(key) ? t(key as Key) : field.msg;
}
