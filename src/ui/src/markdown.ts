// Reads the little of Markdown that language models write into plain data. Nothing in it is HTML, loads anything, or is
// followed: a link is its words and its address as text. `open` says that the text is still being written.

/** A stretch of text within a line. */
export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "strong" | "em" | "strike"; inner: Inline[] }
  /** Numbers of sources, as `[1]` or `[1, 3]`; `raw` is how they were written. */
  | { kind: "cite"; numbers: number[]; raw: string }
  | { kind: "link"; inner: Inline[]; address: string }
  | { kind: "break" };

export type Align = "left" | "center" | "right" | null;

/** A part that stands by itself. */
export type Block =
  | { kind: "paragraph"; inner: Inline[] }
  | { kind: "heading"; level: number; inner: Inline[] }
  | { kind: "list"; ordered: boolean; start: number; items: Block[][] }
  | { kind: "code"; language: string; text: string }
  | { kind: "quote"; inner: Block[] }
  | { kind: "table"; align: Align[]; head: Inline[][]; rows: Inline[][][] }
  | { kind: "rule" };

/** Lists and quotes within each other go no deeper: what is deeper is text. */
const DEEPEST = 8;

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const ITEM = /^( {0,3})([-*+]|(\d{1,9})[.)])(?:([ \t]+)(.*))?$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const DELIMITERS = /^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** The parts of `text`. */
export function blocks(text: string, open = false, depth = 0): Block[] {
  const lines = text.replaceAll("\r\n", "\n").replaceAll("\t", "    ").split("\n");
  const out: Block[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at] ?? "";
    if (line.trim() === "") {
      at += 1;
      continue;
    }
    const read = fence(lines, at) ?? heading(line, at) ?? rule(line, at) ?? quote(lines, at, open, depth) ?? list(lines, at, open, depth) ?? table(lines, at, open) ?? paragraph(lines, at, open);
    out.push(read.block);
    at = read.next;
  }
  return out;
}

interface Read {
  block: Block;
  next: number;
}

function fence(lines: string[], at: number): Read | null {
  const match = FENCE.exec(lines[at] ?? "");
  if (!match) return null;
  const [, mark = "```", language = ""] = match;
  const end = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}\\s*$`);
  let next = at + 1;
  while (next < lines.length && !end.test(lines[next] ?? "")) next += 1;
  // A fence that is not closed yet goes on to the end.
  return { block: { kind: "code", language, text: lines.slice(at + 1, next).join("\n") }, next: next + 1 };
}

function heading(line: string, at: number): Read | null {
  const match = HEADING.exec(line);
  return match ? { block: { kind: "heading", level: match[1]?.length ?? 1, inner: inline(match[2] ?? "") }, next: at + 1 } : null;
}

function rule(line: string, at: number): Read | null {
  return RULE.test(line) ? { block: { kind: "rule" }, next: at + 1 } : null;
}

function quote(lines: string[], at: number, open: boolean, depth: number): Read | null {
  if (depth >= DEEPEST || !QUOTE.test(lines[at] ?? "")) return null;
  const inner: string[] = [];
  let next = at;
  for (; next < lines.length; next += 1) {
    const match = QUOTE.exec(lines[next] ?? "");
    if (!match) break;
    inner.push(match[1] ?? "");
  }
  return { block: { kind: "quote", inner: blocks(inner.join("\n"), open && next >= lines.length, depth + 1) }, next };
}

function list(lines: string[], at: number, open: boolean, depth: number): Read | null {
  const first = ITEM.exec(lines[at] ?? "");
  if (!first || depth >= DEEPEST) return null;
  const ordered = first[3] !== undefined;
  const sign = (first[2] ?? "").slice(-1);
  const items: string[][] = [];
  let inside = 0;
  let next = at;
  for (; next < lines.length; next += 1) {
    const line = lines[next] ?? "";
    const match = ITEM.exec(line);
    const mine = match !== null && !RULE.test(line) && (match[3] !== undefined) === ordered && (match[2] ?? "").slice(-1) === sign;
    const indent = line.length - line.trimStart().length;
    if (mine && (items.length === 0 || indent < inside)) {
      inside = (match[1]?.length ?? 0) + (match[2]?.length ?? 1) + Math.min(match[4]?.length ?? 1, 4);
      items.push([match[5] ?? ""]);
    } else if (line.trim() === "") {
      // A blank line ends the list, unless what follows it belongs to an item.
      const after = lines.slice(next + 1).find((one) => one.trim() !== "");
      const goes = after !== undefined && (after.length - after.trimStart().length >= inside || (ITEM.exec(after)?.[3] !== undefined) === ordered && ITEM.test(after) && !RULE.test(after));
      if (!goes) break;
      items.at(-1)?.push("");
    } else if (indent >= inside || (indent >= 2 && ITEM.test(line.trimStart()))) {
      // Models indent by two where three or four would be right.
      items.at(-1)?.push(line.slice(Math.min(indent, inside)));
    } else if (!match && !starts(line) && items.at(-1)?.at(-1)?.trim()) {
      items.at(-1)?.push(line.trimStart());
    } else break;
  }
  const last = items.length - 1;
  return {
    block: {
      kind: "list",
      ordered,
      start: Number(first[3] ?? 1),
      items: items.map((item, one) => blocks(item.join("\n"), open && next >= lines.length && one === last, depth + 1)),
    },
    next,
  };
}

function cells(line: string): string[] {
  const out: string[] = [];
  let cell = "";
  let code = false;
  for (let at = 0; at < line.length; at += 1) {
    const letter = line[at] ?? "";
    if (letter === "\\" && line[at + 1] === "|") {
      cell += "|";
      at += 1;
    } else if (letter === "|" && !code) {
      out.push(cell.trim());
      cell = "";
    } else {
      if (letter === "`") code = !code;
      cell += letter;
    }
  }
  out.push(cell.trim());
  if (out[0] === "") out.shift();
  if (out.at(-1) === "") out.pop();
  return out;
}

function table(lines: string[], at: number, open: boolean): Read | null {
  const head = lines[at] ?? "";
  if (!head.includes("|")) return null;
  const under = lines[at + 1];
  // Of a table that is just being written the line under its head may still be on its way.
  const coming = open && /^ {0,3}\|/.test(head) && (at + 1 >= lines.length || (at + 2 >= lines.length && /^[\s|:-]*$/.test(under ?? "")));
  if (!coming && !(under !== undefined && DELIMITERS.test(under) && under.includes("-"))) return null;
  const names = cells(head);
  const signs = under === undefined ? [] : cells(under);
  if (!coming && signs.length !== names.length) return null;
  const align = names.map((_, one): Align => {
    const sign = signs[one] ?? "";
    return sign.endsWith(":") ? (sign.startsWith(":") ? "center" : "right") : sign.startsWith(":") ? "left" : null;
  });
  const rows: Inline[][][] = [];
  let next = at + 2;
  for (; next < lines.length; next += 1) {
    const line = lines[next] ?? "";
    if (line.trim() === "" || !line.includes("|")) break;
    const row = cells(line);
    rows.push(names.map((_, one) => inline(row[one] ?? "")));
  }
  return { block: { kind: "table", align, head: names.map((name) => inline(name)), rows }, next };
}

/** Whether a line begins something else than a paragraph. */
function starts(line: string): boolean {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line);
}

function paragraph(lines: string[], at: number, open: boolean): Read {
  let next = at + 1;
  for (; next < lines.length; next += 1) {
    const line = lines[next] ?? "";
    if (line.trim() === "" || starts(line) || /^ {0,3}(?:[-*+]|1[.)])[ \t]+\S/.test(line)) break;
    if (line.includes("|") && DELIMITERS.test(lines[next + 1] ?? "") && (lines[next + 1] ?? "").includes("-")) break;
  }
  const text = lines
    .slice(at, next)
    .map((line, one, all) => (one < all.length - 1 && /(?: {2,}|\\)$/.test(line) ? `${line.replace(/(?: +|\\)$/, "")}\u2028` : line.trim()))
    .join("\n")
    .replaceAll("\u2028\n", "\u2028");
  return { block: { kind: "paragraph", inner: inline(text, open && next >= lines.length) }, next };
}

/** What a text can begin that is more than its letters; the first that fits is taken. */
const CITE = /^\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\](?!\()/;
const LINK = /^(!?)\[([^\][]*)\]\(\s*<?([^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+["'][^"']*["'])?\s*\)/;
const AUTO = /^<([a-z][a-z0-9+.-]{1,31}:[^\s<>]*)>/i;
const MARKS: [string, "strong" | "em" | "strike"][] = [["**", "strong"], ["__", "strong"], ["~~", "strike"], ["*", "em"], ["_", "em"]];
const WORD = /[\p{L}\p{N}]/u;

/** The stretches of a line. In text that is still being written, a mark at its end is held back until it is whole. */
export function inline(text: string, open = false, depth = 0): Inline[] {
  const out: Inline[] = [];
  /** Marks that nothing closes from here on: looked for once, or a text of stars alone would take for ever. */
  const hopeless = new Set<string>();
  let plain = "";
  const flush = () => {
    if (plain) out.push({ kind: "text", text: plain });
    plain = "";
  };
  const push = (one: Inline) => {
    flush();
    out.push(one);
  };
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at);
    const letter = rest[0] ?? "";
    if (letter === "\u2028") {
      push({ kind: "break" });
      at += 1;
      continue;
    }
    if (letter === "\\" && /^\\[\\`*_{}[\]()#+\-.!|~<>]/.test(rest)) {
      plain += rest[1];
      at += 2;
      continue;
    }
    if (letter === "`") {
      const mark = /^`+/.exec(rest)?.[0] ?? "`";
      const end = hopeless.has(mark) ? 0 : closing(rest, mark);
      if (end > 0) {
        push({ kind: "code", text: rest.slice(mark.length, end).replace(/^ (.*) $/, "$1") });
        at += end + mark.length;
        continue;
      }
      if (open) {
        push({ kind: "code", text: rest.slice(mark.length) });
        break;
      }
      hopeless.add(mark);
      plain += mark;
      at += mark.length;
      continue;
    }
    if (letter === "[" || letter === "!" || letter === "<") {
      const read = bracket(rest, depth);
      if (read) {
        push(read.inline);
        at += read.length;
        continue;
      }
      // The beginning of a citation or a link that is still on its way.
      if (open && /^!?\[(?:[\d,;\s]*|[^\][]{0,80}\](?:\([^\s()]*)?)$/.test(rest)) break;
    }
    const emphasis = depth < DEEPEST ? marked(text, at, open, depth, hopeless) : null;
    if (emphasis) {
      if (emphasis.inline) push(emphasis.inline);
      at += emphasis.length;
      continue;
    }
    plain += letter;
    at += 1;
  }
  flush();
  return out;
}

/** Where the run of marks `mark` that closes the one at the beginning stands; 0 where there is none. */
function closing(rest: string, mark: string): number {
  for (const run of rest.slice(mark.length).matchAll(/`+/g)) {
    if (run[0].length === mark.length) return run.index + mark.length;
  }
  return 0;
}

function bracket(rest: string, depth: number): { inline: Inline; length: number } | null {
  const cite = CITE.exec(rest);
  if (cite) {
    const numbers = [...new Set((cite[1] ?? "").split(/[,;]/).map(Number))];
    return { inline: { kind: "cite", numbers, raw: cite[0] }, length: cite[0].length };
  }
  const link = LINK.exec(rest);
  if (link) {
    const [whole, image, words = "", address = ""] = link;
    const inner = depth < DEEPEST ? inline(words, false, depth + 1) : [{ kind: "text" as const, text: words }];
    return { inline: { kind: "link", inner, address: image ? "" : address }, length: whole.length };
  }
  const auto = AUTO.exec(rest);
  return auto ? { inline: { kind: "text", text: auto[1] ?? "" }, length: auto[0].length } : null;
}

function marked(text: string, at: number, open: boolean, depth: number, hopeless: Set<string>): { inline: Inline | null; length: number } | null {
  const rest = text.slice(at);
  for (const [mark, kind] of MARKS) {
    if (!rest.startsWith(mark)) continue;
    const after = rest[mark.length];
    // The mark alone at the end of what was written so far: what it will be shows when more comes.
    if (after === undefined) return open ? { inline: null, length: mark.length } : null;
    if (/\s/.test(after)) return null;
    // An underline within a word is part of the word.
    if (mark.startsWith("_") && at > 0 && WORD.test(text[at - 1] ?? "")) return null;
    const end = hopeless.has(mark) ? 0 : endOf(rest, mark);
    if (end > 0) {
      const inner = inline(rest.slice(mark.length, end), false, depth + 1);
      return { inline: { kind, inner }, length: end + mark.length };
    }
    if (open) {
      // Half of a closing mark is not shown.
      const shown = rest.slice(mark.length).replace(mark.length === 2 ? new RegExp(`\\${mark[0]}$`) : /$^/, "");
      return { inline: { kind, inner: inline(shown, true, depth + 1) }, length: rest.length };
    }
    hopeless.add(mark);
    if (mark.length === 2) return null;
  }
  return null;
}

/** Where the mark at the beginning of `rest` is closed; 0 where it is not. */
function endOf(rest: string, mark: string): number {
  let at = mark.length;
  while (at < rest.length) {
    const letter = rest[at] ?? "";
    if (letter === "\\") {
      at += 2;
      continue;
    }
    if (letter === "`") {
      const run = /^`+/.exec(rest.slice(at))?.[0] ?? "`";
      const end = closing(rest.slice(at), run);
      at += end > 0 ? end + run.length : run.length;
      continue;
    }
    if (rest.startsWith(mark, at)) {
      const before = rest[at - 1] ?? "";
      const after = rest[at + mark.length] ?? "";
      const longer = mark.length === 1 && after === mark;
      if (longer) {
        // Two marks within one are an emphasis of their own.
        const skip = endOf(rest.slice(at), mark + mark);
        at += skip > 0 ? skip + 2 : 2;
        continue;
      }
      const wordly = mark.startsWith("_") && WORD.test(after);
      if (!/\s/.test(before) && !wordly && at > mark.length) return at;
    }
    at += 1;
  }
  return 0;
}

/** The words of a text without its marks, for whoever hears it or takes it elsewhere. */
export function plainText(text: string): string {
  return blocks(text).map(plainBlock).join("\n");
}

function plainBlock(block: Block): string {
  switch (block.kind) {
    case "paragraph":
    case "heading":
      return plainInline(block.inner);
    case "list":
      return block.items.map((item, at) => `${block.ordered ? `${block.start + at}. ` : "- "}${item.map(plainBlock).join("\n")}`).join("\n");
    case "code":
      return block.text;
    case "quote":
      return block.inner.map(plainBlock).join("\n");
    case "table":
      return [block.head, ...block.rows].map((row) => row.map(plainInline).join("\t")).join("\n");
    case "rule":
      return "";
  }
}

function plainInline(inner: Inline[]): string {
  return inner
    .map((one) => {
      if (one.kind === "text" || one.kind === "code") return one.text;
      if (one.kind === "cite") return one.raw;
      if (one.kind === "break") return "\n";
      return plainInline(one.inner);
    })
    .join("");
}
