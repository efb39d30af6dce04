// A table taken away: as a file for a spreadsheet, or on the clipboard, with dates in ISO form.
import { language } from "./i18n/language.svelte";

export type Cell = string | number | null | undefined;

/** A cell that begins like a formula is made plain text, so that opening the file runs nothing. */
function plain(cell: Cell): string {
  if (typeof cell === "number") return language.code === "fr" ? String(cell).replace(".", ",") : String(cell);
  const text = cell ?? "";
  return /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
}

/** CSV as the reader's spreadsheet expects it: semicolons in French, commas in English, UTF-8 with its mark. */
export function csv(rows: Cell[][]): string {
  const comma = language.code === "fr" ? ";" : ",";
  const quote = (text: string) => (/["\r\n;,]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return `\ufeff${rows.map((row) => row.map((cell) => quote(plain(cell))).join(comma)).join("\r\n")}\r\n`;
}

/** Rows as a spreadsheet pastes them. */
export function tabbed(rows: Cell[][]): string {
  return rows.map((row) => row.map((cell) => plain(cell).replace(/[\t\r\n]+/g, " ")).join("\t")).join("\n");
}

/** Hands `text` to the reader as a file. */
export function download(name: string, text: string, type: string): void {
  save(name, new Blob([text], { type }));
}

/** Hands bytes to the reader as a file. */
export function save(name: string, bytes: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(bytes);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Puts `text` on the clipboard, also on a page without HTTPS, where the newer way is closed. */
export async function copy(text: string): Promise<void> {
  if (navigator.clipboard && isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "off-screen";
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
