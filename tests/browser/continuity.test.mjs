// Plan B in a real browser: its page in the administration, a drill from the button to the proof, and its own pages.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { barriers, open, SKIP, startBox, watchedFolder, words } from "./browser.mjs";

const ADMIN = { username: "claire", password: "tuile orage violon carafe 42" };
const WORD = "grenier plume cactus bascule 17";
const READER = { username: "m.benali", display_name: "Mehdi Benali", role: "manager" };
const SITE = "Dépôt de Lyon-Vénissieux";
const PAGE = "/ui/admin/continuity";
const VIEWS = ["", "?view=drills", "?view=returned", "?view=keys", "?view=watchdog"];
const NOTE = "Mission 12 : le camion est en panne à Givors, reprise vers 14 h.";
const REMARK = "Mission 12 confiée à Kadiatou.";
/** The watchdog takes the wish up, Plan B answers for ten seconds, the main program comes back and the proof is written. */
const DRILL_MS = 90_000;

const say = (sentence, values = {}) => sentence.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

/** The set-up of a box, as its wizard does it. */
async function setUp(url, token) {
  const body = { ...ADMIN, token, site: SITE, language: "fr", time_zone: "Europe/Paris", colour: "#a3491c", display_name: "Claire Martin" };
  const got = await fetch(`${url}/setup`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  assert.ok(got.ok, await got.text());
}

async function signIn(page, url, fr, { username, password } = ADMIN) {
  await page.goto(`${url}/ui/login`);
  await page.getByLabel(fr["login.username"], { exact: true }).fill(username);
  await page.getByLabel(fr["login.password"], { exact: true }).fill(password);
  await page.getByRole("button", { name: fr["login.enter"], exact: true }).click();
  await page.waitForURL("**/ui/");
}

describe("a box that nobody watches", { skip: SKIP, concurrency: false }, () => {
  let box, browser, page, misdeeds, fr;

  before(async () => {
    fr = await words("fr");
    box = await startBox();
    await setUp(box.url, box.token);
    ({ browser, page, misdeeds } = await open({}, { box: box.url }));
    await signIn(page, box.url, fr);
  });
  after(async () => {
    await browser?.close();
    await box?.stop();
  });

  test("says so, says how to be watched, and offers no drill", async () => {
    await page.goto(`${box.url}${PAGE}`);
    await page.getByText(fr["continuity.glance.broken"]).waitFor();
    await page.getByText(fr["continuity.point.unwatched"]).click();
    await page.getByText(fr["continuity.dog.none"]).waitFor();
    await page.getByText("ilot watchdog", { exact: true }).waitFor();
    assert.deepEqual(await barriers(page), []);
    await page.goto(`${box.url}${PAGE}?view=drills`);
    await page.getByText(fr["continuity.drill.noWatchdog"]).waitFor();
    await page.getByText(fr["continuity.drill.none"]).waitFor();
    assert.deepEqual(await barriers(page), []);
    await page.goto(`${box.url}${PAGE}?view=returned`);
    await page.getByText(fr["continuity.back.none"]).waitFor();
    assert.deepEqual(await barriers(page), []);
    assert.deepEqual(misdeeds, []);
  });
});

describe("Plan B", { skip: SKIP, concurrency: false }, () => {
  let box, browser, context, page, misdeeds, fr, en, admin, key;
  const button = (name, within = page) => within.getByRole("button", { name, exact: true });
  const field = (name, within = page) => within.getByLabel(name, { exact: true });
  const dialog = () => page.getByRole("dialog");
  const card = (id) => page.locator(`section#${id}`);

  async function ask(method, path, body, headers = { authorization: `Bearer ${admin}` }, url = box.url) {
    return fetch(`${url}${path}`, { method, headers: { "content-type": "application/json", ...headers }, ...(body && { body: JSON.stringify(body) }) });
  }
  async function good(...what) {
    const got = await ask(...what);
    assert.ok(got.ok, `${what[0]} ${what[1]}: ${got.status} ${await got.clone().text()}`);
    return got.json();
  }
  /** What a program with a key of Plan B gets at its own address. */
  const withKey = (method, path, body, shown = key) => ask(method, path, body, { "x-api-key": shown }, box.planb);
  const login = async (who) => (await good("POST", "/auth/login", who, {})).access_token;
  async function wellMade(where, within = page) {
    assert.deepEqual(await barriers(within), [], `axe on ${where}`);
  }
  async function visit(path) {
    await page.goto(`${box.url}${path}`);
    await page.locator("main h1").waitFor();
    await page.waitForLoadState("networkidle");
  }
  /** The password again, where it is asked for. */
  async function proveAgain() {
    const again = page.getByRole("dialog", { name: fr["stepUp.title"] });
    if (await again.waitFor({ timeout: 1_500 }).then(() => true, () => false)) {
      await field(fr["login.password"], again).fill(ADMIN.password);
      await button(fr["stepUp.give"], again).click();
      await again.waitFor({ state: "detached" });
    }
  }
  /** Whether the box is watched and healthy, as its page would say. */
  const healthy = async () => (await good("GET", "/continuity")).watchdog?.phase === "healthy";
  async function until(what, within = 60_000) {
    const end = Date.now() + within;
    while (!(await what().catch(() => false))) {
      assert.ok(Date.now() < end, `waited for: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  before(async () => {
    [fr, en] = [await words("fr"), await words("en")];
    box = await watchedFolder();
    await box.begin("watchdog", async () => (await box.told("run", "setup-link")) !== "" && (await fetch(`${box.url}/health`).then((got) => got.ok, () => false)));
    await setUp(box.url, await box.token());
    admin = await login(ADMIN);
    await good("POST", "/admin/users", { ...READER, password: WORD });
    key = await box.told("planb", "api_key.txt");
    ({ browser, context, page, misdeeds } = await open({}, { box: box.url, refusals: [401, 403, 404, 409, 422, 503] }));
    await signIn(page, box.url, fr);
    await until(healthy);
  });
  after(async () => {
    await browser?.close();
    await box?.stop();
  });

  test("the page is a way of the administration, and each of its parts is well made", async () => {
    await page.getByRole("link", { name: fr["nav.admin"] }).click();
    await page.getByRole("navigation", { name: fr["nav.admin"] }).getByRole("link", { name: fr["desk.continuity"] }).click();
    await page.getByRole("heading", { level: 1, name: fr["desk.continuity"] }).waitFor();
    await page.getByText(fr["continuity.dog.phase.healthy"]).first().waitFor();
    for (const view of VIEWS) {
      await visit(`${PAGE}${view}`);
      await wellMade(`the page at ${view || "the overview"}`);
    }
  });

  test("the role is switched", async () => {
    await visit(PAGE);
    await button(fr["continuity.who.role.server"]).click();
    await proveAgain();
    await page.getByText(fr["continuity.who.roleSet.server"]).waitFor();
    assert.equal((await (await withKey("GET", "/role")).json()).role, "server");
    assert.equal(await button(fr["continuity.who.role.server"]).getAttribute("aria-pressed"), "true");
  });

  test("the key is renewed: shown once, and the old one still taken for a while", async () => {
    await visit(`${PAGE}?view=keys`);
    await button(fr["continuity.key.rotate"], card("key")).click();
    await field(fr["continuity.key.grace"], dialog()).selectOption("hour");
    await wellMade("the question before a rotation");
    await button(fr["continuity.key.rotate"], dialog()).click();
    await proveAgain();
    const shown = page.getByRole("dialog", { name: fr["continuity.key.newTitle"] });
    const fresh = (await shown.locator("output").innerText()).trim();
    assert.match(fresh, /^[0-9a-f]{64}$/);
    await wellMade("a key shown once");
    assert.equal((await withKey("GET", "/status", undefined, fresh)).status, 200);
    assert.equal((await withKey("GET", "/status")).status, 200, "the old key is still taken");
    assert.equal(await box.told("planb", "api_key.txt"), fresh);
    await button(fr["apikey.kept"], shown).click();
    await card("key").getByText(say(fr["continuity.key.until"], { when: "" }).replace(/\.$/, "")).waitFor();
    await card("key").getByText(/api_key_backup_\d{8}_\d{6}\.txt/).waitFor();
    key = fresh;
  });

  test("a limited key does what it says, and nothing once it is deleted", async () => {
    await button(fr["continuity.scoped.add"], card("scoped")).click();
    await button(fr["continuity.scoped.add"], dialog()).click();
    await dialog().getByText(fr["continuity.scoped.nameMissing"]).waitFor();
    await wellMade("a limited key without a name");
    await field(fr["continuity.scoped.name"], dialog()).fill("passerelle sms");
    await dialog().getByText(fr["continuity.scoped.nameWrong"]).waitFor();
    await field(fr["continuity.scoped.name"], dialog()).fill("passerelle-sms");
    await field(fr["continuity.scoped.scope.crypto"], dialog()).check();
    await button(fr["continuity.scoped.add"], dialog()).click();
    await proveAgain();
    const shown = page.getByRole("dialog", { name: fr["continuity.scoped.madeTitle"] });
    const limited = (await shown.locator("output").innerText()).trim();
    await button(fr["apikey.kept"], shown).click();
    assert.equal((await withKey("GET", "/status", undefined, limited)).status, 200);
    assert.equal((await withKey("POST", "/crypto/encrypt", { plaintext_b64: "aGk=" }, limited)).status, 200);
    assert.equal((await withKey("POST", "/role", { role: "client" }, limited)).status, 403);
    const remove = button(say(fr["continuity.scoped.deleteName"], { name: "passerelle-sms" }), card("scoped"));
    await remove.click();
    await button(fr["continuity.scoped.delete"], dialog()).click();
    await proveAgain();
    await card("scoped").getByText(fr["continuity.scoped.none"]).waitFor();
    assert.equal((await withKey("GET", "/status", undefined, limited)).status, 401);
  });

  test("the sealing key is renewed, and what the one before sealed still opens", async () => {
    const { ciphertext_b64 } = await (await withKey("POST", "/crypto/encrypt", { plaintext_b64: "Qm9uam91cg==" })).json();
    await button(fr["continuity.seal.rotate"], card("sealing")).click();
    await wellMade("the question before the sealing key is renewed");
    await button(fr["continuity.seal.rotate"], dialog()).click();
    await proveAgain();
    await page.getByText(fr["continuity.seal.rotated"]).waitFor();
    await card("sealing").getByText(fr["continuity.seal.earlier"]).waitFor();
    const opened = await (await withKey("POST", "/crypto/decrypt", { ciphertext_b64 })).json();
    assert.equal(opened.plaintext_b64, "Qm9uam91cg==");
  });

  test("a document is chosen, and the pack is written with it", async () => {
    const form = new FormData();
    form.append("file", new File(["Coupez le courant au tableau du hall, puis appelez le 18.\n"], "consignes.txt", { type: "text/plain" }));
    const sent = await fetch(`${box.url}/rag/documents`, { method: "POST", headers: { authorization: `Bearer ${admin}` }, body: form });
    assert.ok(sent.ok, await sent.clone().text());
    await until(async () => (await good("GET", "/rag/documents")).items[0]?.state === "ready");
    const { id } = (await good("GET", "/rag/documents")).items[0];
    await visit(`/ui/documents/${id}`);
    await field(fr["document.inPack"]).check();
    await page.getByText(/sera lisible pendant une absence/).waitFor();
    await wellMade("a document that is in the pack");
    assert.equal((await good("GET", `/rag/documents/${id}`)).in_pack, true);
    await visit(PAGE);
    await button(fr["continuity.pack.write"]).click();
    await page.getByText(fr["continuity.pack.written"]).waitFor();
    await card("pack").getByText("consignes.txt").waitFor();
    await card("pack").getByText(fr["continuity.pack.verified"]).waitFor();
  });

  test("a drill, from the button to the proof on paper", { timeout: DRILL_MS + 60_000 }, async () => {
    await until(healthy);
    await visit(`${PAGE}?view=drills`);
    await field(fr["continuity.drill.seconds"]).selectOption("10");
    const begin = say(fr["continuity.drill.start"], { time: fr["continuity.drill.for.10"] });
    await button(begin).click();
    await dialog().getByText(fr["continuity.drill.askStops"]).waitFor();
    await wellMade("the question before a drill");
    const quiet = misdeeds.length;
    await button(begin, dialog()).click();
    await proveAgain();
    await page.getByRole("heading", { name: fr["continuity.drill.runningTitle"] }).waitFor();
    await page.locator("ol > li[aria-current=step]").getByText(fr["continuity.drill.step.planb"]).waitFor({ timeout: 20_000 });
    assert.equal((await fetch(`${box.url}/health`)).status, 200, "Plan B answers at the usual address");
    const state = await (await withKey("GET", "/planb/state")).json();
    assert.equal(state.mode, "planb");
    await page.getByText(fr["continuity.drill.step.over"]).first().waitFor({ timeout: DRILL_MS });
    const proof = page.locator("details.proof").first();
    await proof.getByText(fr["continuity.drill.good"], { exact: true }).waitFor();
    await proof.getByText(fr["continuity.drill.signed"]).waitFor();
    assert.equal(await proof.locator("tbody tr").count(), await proof.getByText(fr["continuity.trial.good"], { exact: true }).count(), "every trial went well");
    assert.deepEqual(await proof.locator("[lang=en]").allInnerTexts(), [], "the proof speaks the reader's language alone");
    assert.ok(await proof.locator("summary").evaluate((it) => it === document.activeElement), "the proof is what follows the drill");
    await wellMade("a proof");
    // While nobody stood at the address the browser said so; nothing else may have gone wrong.
    const refused = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_ABORTED|WebSocket/;
    misdeeds.splice(quiet, misdeeds.length - quiet, ...misdeeds.slice(quiet).filter((one) => !refused.test(one)));
    assert.deepEqual(misdeeds, []);
    await page.emulateMedia({ media: "print" });
    assert.ok(await proof.getByText(fr["continuity.drill.sign"]).isVisible(), "there is room for a signature");
    assert.equal(await button(fr["continuity.drill.print"], proof).isVisible(), false);
    await page.emulateMedia({ media: "screen" });
    assert.equal((await good("GET", "/auth/me")).username, ADMIN.username, "the sessions stayed open");
  });

  test("Plan B's own pages: sign in, read, note, print", { timeout: 120_000 }, async () => {
    await box.end();
    await box.begin("planb");
    const theirs = await context.newPage();
    await theirs.goto(`${box.url}/ui/`);
    await theirs.waitForURL("**/planb**");
    await theirs.getByRole("heading", { level: 1 }).waitFor();
    await wellMade("Plan B's first page", theirs);
    await theirs.goto(`${box.url}/planb/sign-in`);
    await wellMade("Plan B's sign-in", theirs);
    await theirs.locator("input[autocomplete=username]").fill(READER.username);
    await theirs.locator("input[type=password]").fill("pas le bon");
    await theirs.locator("form:has(input[type=password]) button").click();
    await theirs.locator("[role=alert]").waitFor();
    await wellMade("a refused sign-in at Plan B", theirs);
    await theirs.locator("input[autocomplete=username]").fill(ADMIN.username);
    await theirs.locator("input[type=password]").fill(ADMIN.password);
    await theirs.locator("form:has(input[type=password]) button").click();
    await theirs.getByText("Claire Martin").first().waitFor();
    await theirs.getByText("consignes.txt").first().waitFor();
    await theirs.locator("textarea").first().fill(NOTE);
    await theirs.locator("form:has(textarea) button").first().click();
    await theirs.getByText(NOTE).first().waitFor();
    await theirs.goto(`${box.url}/planb`);
    const punch = theirs.locator("form:has(select[name=person])").first();
    await punch.locator("select").selectOption({ label: READER.display_name });
    await punch.locator("input[value=in]").check();
    await punch.locator("button").click();
    await theirs.goto(`${box.url}/planb/entries`);
    await theirs.locator("ul.entries > li").filter({ hasText: READER.display_name }).first().waitFor();
    // The drill's own line may stand there yet: it is put away a moment after it was taken.
    assert.equal(await theirs.locator("ul.entries > li").filter({ hasNotText: "exercice" }).count(), 2);
    await wellMade("Plan B's pages with a note and a punch", theirs);
    await theirs.goto(`${box.url}/planb`);
    for (const width of [360, 1440]) {
      for (const colorScheme of ["light", "dark"]) {
        await theirs.setViewportSize({ width, height: 800 });
        await theirs.emulateMedia({ colorScheme });
        const wide = await theirs.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${theirs.url()} is ${wide} px wide`);
        await wellMade(`Plan B at ${width} px, ${colorScheme}`, theirs);
      }
    }
    await theirs.emulateMedia({ media: "print" });
    assert.equal(await theirs.locator("textarea").first().isVisible(), false, "forms are not put on paper");
    await theirs.close();
    await box.end();
  });

  test("what was noted comes back, waits, and is marked as done", { timeout: 120_000 }, async () => {
    await box.end();
    await box.begin("watchdog");
    admin = await login(ADMIN);
    await until(async () => (await good("GET", "/continuity/arrivals?open=true")).total_open > 0);
    await visit(`${PAGE}?view=returned`);
    const entry = page.locator("ol.entries > li").filter({ hasText: NOTE });
    await entry.waitFor();
    await wellMade("a note that waits");
    await entry.getByRole("button").click();
    await field(fr["continuity.back.remark"], dialog()).fill(REMARK);
    await wellMade("the form of what was done");
    await button(fr["continuity.back.doneTitle"], dialog()).click();
    await proveAgain();
    await entry.waitFor({ state: "detached" });
    await button(fr["continuity.back.all"]).click();
    const done = page.locator("ol.entries > li").filter({ hasText: NOTE });
    await done.getByText(REMARK).waitFor();
    await done.getByText(fr["continuity.back.state.done"], { exact: true }).waitFor();
    // The punch waits on: it is kept for the part of the box that takes punches.
    const { items } = await good("GET", "/continuity/arrivals?open=true");
    assert.deepEqual(items.filter(({ kind }) => kind === "note"), []);
  });

  test("in English, on a phone and in the dark, nothing is cut and no sentence is missing", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await page.evaluate(() => localStorage.setItem("ilot.language", "en"));
    await page.setViewportSize({ width: 360, height: 740 });
    const keys = Object.keys(en).filter((one) => one.includes("."));
    for (const view of VIEWS) {
      await visit(`${PAGE}${view}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 360, `${view} is ${wide} px wide`);
      await wellMade(`${view || "the overview"} on a phone in the dark`);
      const text = await page.locator("body").innerText();
      assert.deepEqual(keys.filter((one) => text.split(/\s+/).includes(one)), [], `${view} shows a key instead of its sentence`);
    }
  });

  test("who may not see Plan B sees no way in", async () => {
    const other = await context.browser().newContext({ locale: "fr-FR" });
    const theirs = await other.newPage();
    await signIn(theirs, box.url, fr, { username: READER.username, password: WORD });
    await theirs.goto(`${box.url}${PAGE}`);
    await theirs.getByText(fr["desk.closed.use_continuity"]).waitFor();
    assert.equal(await theirs.locator("main").getByRole("button").count(), 0);
    await other.close();
  });

  test("nothing went wrong on the way", () => {
    const refused = /ERR_CONNECTION_REFUSED|WebSocket/;
    assert.deepEqual(misdeeds.filter((one) => !refused.test(one)), []);
  });
});
