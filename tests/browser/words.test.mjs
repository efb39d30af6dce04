// Both languages say everything, and every sentence the pages use is there. Needs no browser and no box.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { words } from "./browser.mjs";

const SOURCE = new URL("../../src/ui/src/", import.meta.url);
const CODES = new URL("../golden/fault_codes.txt", import.meta.url);
/** Keys asked for by what the box sends: a code, a field's fault, a part's name. */
const BY_THE_BOX = /^(fault|field|part)\./;

async function sources() {
  const names = await readdir(SOURCE, { recursive: true });
  const wanted = names.filter((name) => /\.(svelte|ts)$/.test(name) && !/i18n.(?:(?:admin|assistant|continuity)\.)?(fr|en|account)\.ts$|schema\.d\.ts$/.test(name));
  return Promise.all(wanted.map(async (name) => ({ name, text: await readFile(new URL(name, SOURCE), "utf8") })));
}

const placeholders = (sentence) => [...sentence.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort().join(" ");

test("French and English have the same keys and the same blanks, and no sentence is empty", async () => {
  const [fr, en] = [await words("fr"), await words("en")];
  assert.deepEqual(Object.keys(en).sort(), Object.keys(fr).sort());
  for (const [key, sentence] of Object.entries(fr)) {
    assert.ok(sentence.trim() && en[key].trim(), `${key} is empty`);
    assert.equal(placeholders(en[key]), placeholders(sentence), `${key} fills other blanks in English`);
  }
});

test("French keeps its signs with their words: no plain space before ; : ! ? », nor after «", async () => {
  const said = Object.entries(await words("fr"));
  // Rights and first roles say both languages side by side in one file.
  const rights = await readFile(new URL("i18n/rights.ts", SOURCE), "utf8");
  for (const [, sentence] of rights.matchAll(/\bfr: "([^"]*)"/g)) said.push([`rights.ts: ${sentence}`, sentence]);
  assert.ok(said.length > Object.keys(await words("fr")).length);
  const parted = said.filter(([, sentence]) => / [;:!?»]|« |[^\s\u00a0][;!?»]|«[^\u00a0]/.test(sentence.replace(/https?:\S+/g, ""))).map(([key]) => key);
  assert.deepEqual(parted, [], "a no-break space (U+00A0) belongs there");
});

test("every key the pages name exists, and every key is named somewhere", async () => {
  const fr = await words("fr");
  const named = new Set();
  for (const { name, text } of await sources()) {
    // Every quoted text that has the form of a key counts as use; `t("…")` must also exist.
    for (const [, quoted] of text.matchAll(/["'`]([a-z][A-Za-z]*(?:\.[A-Za-z_]+)*)["'`]/g)) named.add(quoted);
    for (const [, call, key] of text.matchAll(/\b(tn?)\(\s*"([^"]+)"/g)) {
      assert.ok(call === "tn" ? `${key}.one` in fr && `${key}.other` in fr : key in fr, `${name} names ${key}, which no language has`);
    }
    for (const [, key] of text.matchAll(/[?:]\s*"([a-z]+(?:\.[A-Za-z_]+)+)"/g)) {
      assert.ok(key in fr || `${key}.one` in fr, `${name} names ${key}, which no language has`);
    }
    for (const [, prefix] of text.matchAll(/`([a-z]+(?:\.[a-zA-Z]+)*\.)\$\{/g)) {
      const under = Object.keys(fr).filter((key) => key.startsWith(prefix));
      assert.ok(under.length > 0, `${name} names ${prefix}…, under which there is nothing`);
      for (const key of under) named.add(key);
    }
  }
  const forgotten = Object.keys(fr).filter(
    (key) => !named.has(key) && !named.has(key.replace(/\.(one|other)$/, "")) && !BY_THE_BOX.test(key),
  );
  assert.deepEqual(forgotten, [], "nobody says these sentences");
});

test("every code the box refuses with has its sentence", { skip: !existsSync(CODES) && `${fileURLToPath(CODES)} is not there yet` }, async () => {
  const [fr, en] = [await words("fr"), await words("en")];
  const codes = (await readFile(CODES, "utf8")).split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
  assert.ok(codes.length > 0);
  assert.deepEqual(codes.filter((code) => !(`fault.${code}` in fr) || !(`fault.${code}` in en)), []);
});
