// What a model writes becomes plain data: its marks are read, nothing of it is followed, and half a mark is not shown.
import assert from "node:assert/strict";
import { test } from "node:test";
import { source } from "./browser.mjs";

const { blocks, inline, plainText } = await source("markdown.ts");
const kinds = (text, open) => blocks(text, open).map((one) => one.kind);

test("headings, lists, tables, code and quotes are told apart", () => {
  const text = "## Titre\n\nUn *mot* et **un autre**.\n\n- un\n- deux\n  - dedans\n\n1. premier\n2. second\n\n> cité\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```py\nx = 1\n```\n\n---\n\nFin";
  assert.deepEqual(kinds(text), ["heading", "paragraph", "list", "list", "quote", "table", "code", "rule", "paragraph"]);
  const [, , list, ordered, , table, code] = blocks(text);
  assert.equal(list.items.length, 2);
  assert.deepEqual(list.items[1].map((one) => one.kind), ["paragraph", "list"]);
  assert.equal(ordered.ordered, true);
  assert.deepEqual(table.align, [null, "right"]);
  assert.equal(table.rows.length, 1);
  assert.equal(code.text, "x = 1");
});

test("numbers of sources are citations, alone or several, and nothing else in brackets is", () => {
  assert.deepEqual(
    inline("Oui [1], et [2, 3]; mais [note] et a[0]b.").filter((one) => one.kind === "cite").map((one) => one.numbers),
    [[1], [2, 3], [0]],
  );
  assert.equal(inline("[1](http://ailleurs.example)")[0].kind, "link");
});

test("nothing is HTML and no image is loaded", () => {
  assert.deepEqual(inline("<img src=x onerror=alert(1)>"), [{ kind: "text", text: "<img src=x onerror=alert(1)>" }]);
  const [image] = inline("![vue](http://ailleurs.example/x.png)");
  assert.deepEqual([image.kind, image.address], ["link", ""]);
  assert.deepEqual(kinds("<script>alert(1)</script>"), ["paragraph"]);
});

test("while it is written, a mark that is not closed yet shows as what it will be", () => {
  assert.deepEqual(inline("Le **temps de", true).map((one) => one.kind), ["text", "strong"]);
  assert.deepEqual(inline("Le **temps*", true)[1].inner, [{ kind: "text", text: "temps" }]);
  assert.deepEqual(inline("Le **", true), [{ kind: "text", text: "Le " }]);
  assert.deepEqual(inline("Quatre heures [1", true), [{ kind: "text", text: "Quatre heures " }]);
  assert.deepEqual(kinds("| Nom | Heure", true), ["table"]);
  assert.deepEqual(kinds("| Nom | Heure |\n|--", true), ["table"]);
  assert.deepEqual(kinds("```\nx =", true), ["code"]);
  // Once it is whole, what was never closed is what it was.
  assert.deepEqual(inline("2 ** 3"), [{ kind: "text", text: "2 ** 3" }]);
  assert.deepEqual(inline("Le **temps"), [{ kind: "text", text: "Le **temps" }]);
});

test("no beginning of a text loses or repeats a letter", () => {
  const text = "# Repos\n\nAprès **quatre heures** de *conduite* [1] :\n\n1. `pause` de 45 min\n2. ou\n   - 15 min\n   - puis 30 min [2]\n\n| a_b | c |\n|:--|--|\n| x | y |\n";
  for (let end = 1; end <= text.length; end += 1) {
    const shown = JSON.stringify(blocks(text.slice(0, end), true));
    assert.ok(shown.length > 0);
  }
  assert.equal(plainText("Après **quatre heures** de *conduite* [1].").trim(), "Après quatre heures de conduite [1].");
});

test("names with underlines and sums with stars stay as they are", () => {
  assert.deepEqual(inline("temps_de_repos et 2 * 3 * 4"), [{ kind: "text", text: "temps_de_repos et 2 * 3 * 4" }]);
  assert.deepEqual(inline("***fort***")[0].kind, "strong");
});

test("a text made to be slow is read at once", () => {
  const began = performance.now();
  for (const hard of [`a${"*".repeat(4_000)}`, `a ${"*_".repeat(2_000)}b`, `a${"`".repeat(3_000)}b`, "[".repeat(4_000), "> ".repeat(2_000) + "x", "`".repeat(3_000) + "a", "- ".repeat(2_000), "|".repeat(4_000), "**a ".repeat(1_000), "_a*b".repeat(1_000)]) {
    blocks(hard, true);
    blocks(hard);
  }
  assert.ok(performance.now() - began < 3_000, `${performance.now() - began} ms`);
});

test("two answers are compared word by word, and no letter is lost", async () => {
  const { differences } = await source("differences.ts");
  const [old, now] = ["Le conducteur prend une pause de 45 minutes.", "Le conducteur doit prendre une pause de 30 minutes."];
  const cut = differences(old, now);
  assert.equal(cut.old.map((one) => one.text).join(""), old);
  assert.equal(cut.now.map((one) => one.text).join(""), now);
  assert.deepEqual(cut.old.filter((one) => one.only).map((one) => one.text), ["prend", "45"]);
  assert.deepEqual(cut.now.filter((one) => one.only).map((one) => one.text), ["doit prendre", "30"]);
  assert.deepEqual(differences("pareil", "pareil").old, [{ text: "pareil", only: false }]);
  assert.deepEqual(differences("", "neuf").now, [{ text: "neuf", only: true }]);
});

test("events are cut from a stream at any byte, and a sign of life is none", async () => {
  const { cut } = await source("api/stream.ts");
  const text = ': encore là\n\nevent: status\ndata: {"state":"searching"}\n\nevent: token\r\ndata: {"text":"é"}\r\n\r\ndata: a\ndata: b\n\n';
  for (let at = 0; at <= text.length; at += 1) {
    const first = cut(text.slice(0, at));
    const second = cut(first.rest + text.slice(at));
    assert.deepEqual(
      [...first.events, ...second.events].map(({ event, data }) => [event, data]),
      [["status", '{"state":"searching"}'], ["token", '{"text":"é"}'], ["message", "a\nb"]],
    );
    assert.equal(second.rest, "");
  }
});
