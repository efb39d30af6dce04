// Where the reader goes on after a form was refused.

/** Puts the focus in the first field at fault, once the page shows which it is. */
export function toFault(form: HTMLFormElement | null | undefined): void {
  requestAnimationFrame(() => form?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus());
}
