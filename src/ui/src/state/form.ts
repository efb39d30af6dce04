// Where the reader goes on after a form was refused.
import { tick } from "svelte";

/** Puts the focus in the first field at fault, once the page shows which it is. */
export function toFault(form: HTMLFormElement | null | undefined): void {
  void tick().then(() => form?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus());
}
