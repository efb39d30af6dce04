// The crossing between the box's characters and JavaScript's units, and what hangs on it: marks, paragraphs, passwords, colours.
import assert from "node:assert/strict";
import { test } from "node:test";
import { source } from "./browser.mjs";

const { charactersIn, paragraphs, pieces, unitsAt, wholeParagraphs } = await source("characters.ts");

test("a character outside the basic plane is one character and two units", () => {
  assert.equal(unitsAt("a🙂b", 2), 3);
  assert.equal(unitsAt("abc", 2), 2);
  assert.equal(unitsAt("a🙂b", 99), 4);
  assert.equal(unitsAt("abc", -1), 0);
  assert.equal(charactersIn("a🙂b"), 3);
});

test("marks may come unsorted, overlap, and run over the end, and no letter is lost", () => {
  const text = "Le 🙂 conducteur conduit";
  const cut = pieces(text, [[16, 99], [5, 15], [7, 9]]);
  assert.equal(cut.map((one) => one.text).join(""), text);
  assert.deepEqual(cut.filter((one) => one.marked).map((one) => one.text), ["conducteur", "conduit"]);
});

test("a text that looks like HTML stays text", () => {
  assert.deepEqual(pieces("<b>x</b>", [[0, 3]]), [
    { text: "<b>", marked: true },
    { text: "x</b>", marked: false },
  ]);
});

test("paragraphs keep their places in the whole text", () => {
  const before = "Préambule 🙂\n\n";
  const text = "Titre\n\nUne ligne 🙂\nsa suite\n\n\nFin";
  const from = charactersIn(before);
  const blocks = paragraphs(text, from, [{ at: from, level: 2 }]);
  assert.deepEqual(blocks.map(({ level, text }) => [level, text]), [[2, "Titre"], [0, "Une ligne 🙂\nsa suite"], [0, "Fin"]]);
  const whole = [...(before + text)];
  for (const block of blocks) assert.equal(whole.slice(block.start, block.end).join(""), block.text);
});

test("a torn first paragraph is left out, but never the place that was asked for", () => {
  assert.deepEqual(wholeParagraphs("rn🙂 piece\nwhole", 10, 50), { text: "whole", start: 20 });
  assert.deepEqual(wholeParagraphs("rn🙂 piece\nwhole", 10, 12), { text: "rn🙂 piece\nwhole", start: 10 });
  assert.deepEqual(wholeParagraphs("first\nsecond", 0, 8), { text: "first\nsecond", start: 0 });
  assert.deepEqual(wholeParagraphs("one line", 10, 12), { text: "one line", start: 10 });
});

test("a password of names and repeats is weak however long", async () => {
  const { strength } = await source("state/password.ts");
  assert.equal(strength("onzelettres", []), "short");
  assert.equal(strength("aaaaaaaaaaaaaaaaaa", []), "weak");
  assert.equal(strength("lyon-lyon-lyon", ["Lyon"]), "weak");
  assert.equal(strength("tuile orage violon carafe", []), "strong");
});

test("a site is offered the same colour each time, and names spread over all of them", async () => {
  const { suggested, COLOURS, initials, inkOn, colourOr } = await source("state/site.ts");
  assert.equal(suggested("Dépôt de Lyon"), suggested(" Dépôt de Lyon "));
  const seen = new Set(Array.from({ length: 200 }, (_, at) => suggested(`Site ${at}`)));
  for (const { hex } of COLOURS) assert.equal(inkOn(hex), "#ffffff");
  assert.equal(inkOn("#ffe000"), "#000000");
  assert.equal(colourOr("red; --x: url(//elsewhere)"), COLOURS[0].hex);
  assert.equal(seen.size, COLOURS.length);
  assert.equal(initials("Dépôt de Lyon"), "DL");
});
