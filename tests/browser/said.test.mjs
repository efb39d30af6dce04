// Whatever the watchdog says is said in the reader's language: every sentence of the list is known, with all its values.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { source, words } from "./browser.mjs";

const { taken } = await source("watchdog_words.ts");
const lines = (await readFile(new URL("../golden/watchdog_said.txt", import.meta.url), "utf8")).split("\n").filter(Boolean);
const fr = await words("fr");

const blanks = (said) => [...fr[said.key].matchAll(/\{(\w+)\}/g)].map((match) => match[1]);

test("every sentence of the watchdog is known, and fills every blank", () => {
  assert.ok(lines.length > 30);
  for (const line of lines) {
    const said = taken(line);
    assert.equal(said.length, 1, line);
    for (let one = said[0]; one; one = one.inner) {
      if (one !== said[0] && !one.key) continue;
      assert.ok(one.key && fr[one.key], `${line}: ${one.text}`);
      for (const name of blanks(one)) assert.ok(one.values[name], `${line}: {${name}}`);
    }
  }
});

test("remarks that stand one after the other are told apart, and unknown words stay", () => {
  const said = taken("The watchdog was told to end. Something new happened. The main program ended with code 1 on its way back.");
  assert.deepEqual(said.map((one) => one.key), ["continuity.said.told", undefined, "continuity.said.mainReturning"]);
  assert.equal(said[1].text, "Something new happened.");
  assert.equal(said[2].inner.key, "continuity.said.code");
});
