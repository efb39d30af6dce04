// The assistant in a real browser: questions and their sources, conversations, the history, and the models of the box.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { barriers, open, SKIP, startBox, words } from "./browser.mjs";

const ADMIN = { username: "claire", password: "tuile orage violon carafe 42" };
const WORD = "grenier plume cactus bascule 17";
const MODEL = fileURLToPath(new URL("../../../shared/data/stories260K-q8_0.gguf", import.meta.url));
const NO_MODEL = !existsSync(MODEL) && `${MODEL} is not there`;
const RULE = "Après quatre heures et demie de conduite, le conducteur prend une pause ininterrompue de quarante-cinq minutes.";
const QUESTION = "Quelle pause le conducteur prend-il après quatre heures et demie de conduite ?";
const FOREIGN = "Quelle est la recette du clafoutis aux cerises ?";

/** A file that says it has two tensors, and ends there. */
const CUT = Buffer.concat([Buffer.from("GGUF"), Buffer.from(Uint32Array.of(3, 2, 0, 2, 0).buffer)]);

/** Its rule lies screens below its beginning. */
function handbook() {
  const filler = (part) =>
    Array.from({ length: 30 }, (_, at) => `Article ${part}.${at + 1} Les clés du véhicule sont rendues au bureau avec le carnet de bord, signé et daté.`).join("\n\n");
  return `# Manuel du dépôt\n\n## Véhicules\n\n${filler(1)}\n\n## Temps de repos\n\n${RULE}\n\n## Divers\n\n${filler(2)}\n`;
}

describe("the assistant", { skip: SKIP, concurrency: false }, () => {
  let box, browser, context, page, misdeeds, fr, en, admin;
  const button = (name, within = page) => within.getByRole("button", { name, exact: true });
  const field = () => page.getByRole("textbox", { name: fr["talk.question"], exact: true });
  const dialog = () => page.getByRole("dialog");
  const list = () => page.getByRole("complementary", { name: fr["talk.list"] });
  const answers = () => page.locator("main article .answer");
  const say = (key, values = {}) => fr[key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

  async function ask(method, path, body, token = admin) {
    return fetch(`${box.url}${path}`, {
      method,
      headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
      ...(body && { body: JSON.stringify(body) }),
    });
  }
  async function good(...what) {
    const answer = await ask(...what);
    assert.ok(answer.ok, `${what[0]} ${what[1]}: ${answer.status} ${await answer.clone().text()}`);
    return answer.json();
  }
  const signIn = async (username, password = WORD) => (await good("POST", "/auth/login", { username, password }, null)).access_token;

  async function wellMade(where) {
    assert.deepEqual(await barriers(page), [], `axe on ${where}`);
  }
  async function visit(path) {
    await page.goto(`${box.url}${path}`);
    await page.locator("main h1").waitFor();
    await page.waitForLoadState("networkidle");
  }
  async function enter(page, username, password = WORD) {
    await page.goto(`${box.url}/ui/login`);
    await page.getByLabel(fr["login.username"], { exact: true }).fill(username);
    await page.getByLabel(fr["login.password"], { exact: true }).fill(password);
    await button(fr["login.enter"], page).click();
    await page.waitForURL("**/ui/");
  }

  before(async () => {
    [fr, en] = [await words("fr"), await words("en")];
    box = await startBox({ bare: true });
    await good("POST", "/setup", {
      ...ADMIN, token: box.token, site: "Dépôt de Lyon-Vénissieux", language: "fr", time_zone: "Europe/Paris", colour: "#a3491c",
      display_name: "Claire Martin",
    }, null);
    admin = await signIn(ADMIN.username, ADMIN.password);
    // Roles differ in what they may ask: one person may ask, the other may not.
    const roles = await good("GET", "/admin/roles");
    const asks = roles.find((role) => role.rights.includes("use_assistant") && !role.rights.includes("manage_assistant"));
    assert.ok(asks, "a first role may ask");
    await good("POST", "/admin/roles", { name: "lecture_seule", description: "Lit, et ne demande rien.", rights: ["read_documents"] });
    await good("POST", "/admin/users", { username: "k.traore", display_name: "Kadiatou Traoré", role: asks.name, password: WORD });
    await good("POST", "/admin/users", { username: "m.benali", display_name: "Mehdi Benali", role: "lecture_seule", password: WORD });
    const form = new FormData();
    form.append("collection", "Règles");
    form.append("file", new Blob([handbook()], { type: "text/markdown" }), "manuel.md");
    const sent = await fetch(`${box.url}/rag/documents`, { method: "POST", headers: { authorization: `Bearer ${admin}` }, body: form });
    assert.ok(sent.ok, await sent.clone().text());
    for (let waited = 0; ; waited += 100) {
      const status = await good("GET", "/rag/status");
      if (status.documents.ready === 1 && status.index_lag === 0 && status.passages > 0) break;
      assert.ok(waited < 60_000, "the document was not read");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    ({ browser, context, page, misdeeds } = await open({}, { box: box.url, refusals: [401, 403, 404, 422] }));
    await enter(page, ADMIN.username, ADMIN.password);
  });
  after(async () => {
    await browser?.close();
    await box?.stop();
  });

  test("a question is asked with the keyboard alone, and answered from the documents", async () => {
    await page.locator("main h1").waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("i");
    await page.waitForURL("**/ui/assistant");
    await page.getByText(fr["talk.beginBare"]).waitFor();
    await page.waitForFunction((label) => document.activeElement?.getAttribute("aria-label") === label, fr["talk.question"]);
    await wellMade("a new conversation");
    assert.ok(await button(fr["talk.send"]).isDisabled());
    await page.keyboard.type(QUESTION);
    await page.keyboard.press("Enter");
    await answers().first().getByText("quarante-cinq minutes").first().waitFor({ timeout: 30_000 });
    await page.waitForURL(/\/ui\/assistant\/[0-9a-f-]{36}$/);
    await answers().first().getByText(fr["talk.extractBare"]).waitFor();
    assert.match(await page.locator("main p[role=status]").innerText(), /quarante-cinq minutes/, "the finished answer is said once");
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-label")), fr["talk.question"], "the next question can be typed at once");
    await list().getByRole("link", { name: /pause/ }).waitFor();
    await wellMade("an answer of extracts");
  });

  test("a number shows its passage under the focus and leads to its place; the way back leads to the conversation", async () => {
    const number = answers().first().locator("a.number").first();
    await number.focus();
    const glance = page.getByRole("tooltip");
    await glance.getByText("quarante-cinq minutes").waitFor();
    await wellMade("a passage under its number");
    await page.keyboard.press("Escape");
    await glance.waitFor({ state: "detached" });
    const address = page.url();
    await page.keyboard.press("Enter");
    await page.waitForURL("**/ui/documents/**");
    await page.locator("mark").first().waitFor();
    const seen = await page.locator("mark").first().evaluate((node) => {
      const { top, bottom } = node.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    });
    assert.ok(seen, "the place is in sight");
    await page.getByRole("link", { name: fr["document.toConversation"] }).click();
    await page.waitForURL(address);
    await answers().first().waitFor();
  });

  test("a reload shows the same conversation with its sources", async () => {
    await page.reload();
    await answers().first().getByText("quarante-cinq minutes").first().waitFor();
    await answers().first().locator("details > summary").click();
    await answers().first().locator("details li").first().getByText("manuel.md").waitFor();
    await wellMade("the sources of an answer");
    assert.equal(await answers().first().locator("a.number").first().innerText(), "1");
  });

  test("what the documents do not hold is said to be not found", async () => {
    await field().fill(FOREIGN);
    await button(fr["talk.send"]).click();
    await page.waitForFunction(() => document.querySelectorAll("main article .answer").length === 2, undefined, { timeout: 30_000 });
    const text = await answers().nth(1).innerText();
    assert.doesNotMatch(text, /quarante-cinq/);
    assert.equal((await good("GET", "/history?limit=1")).items[0].payload.origin, "not_found");
    await wellMade("an answer that was not found");
  });

  test("an answer is written anew in the place of the last one", async () => {
    const before = (await good("GET", "/chat/conversations")).items[0].turns;
    await answers().nth(1).getByRole("button", { name: fr["talk.regenerate"] }).click();
    await page.waitForFunction(() => document.querySelectorAll("main article .answer").length === 2 && !document.querySelector("main [aria-busy=true]"));
    assert.equal((await good("GET", "/chat/conversations")).items[0].turns, before);
  });

  test("a draft stays with its conversation while one looks elsewhere", async () => {
    await field().fill("et la nuit");
    await button(fr["talk.new"]).click();
    await page.waitForURL("**/ui/assistant");
    assert.equal(await field().inputValue(), "");
    await list().getByRole("link", { name: /pause/ }).click();
    await page.waitForURL(/\/ui\/assistant\/./);
    assert.equal(await field().inputValue(), "et la nuit");
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.press("Delete");
  });

  test("a question is kept, and offered again", async () => {
    await button(fr["prompt.title"]).click();
    const recent = dialog().getByRole("button", { name: say("prompt.keep", { prompt: QUESTION }) });
    await recent.click();
    await dialog().getByRole("button", { name: say("prompt.unkeep", { prompt: QUESTION }) }).waitFor();
    await wellMade("kept questions");
    await dialog().getByRole("button", { name: QUESTION, exact: true }).click();
    await dialog().waitFor({ state: "detached" });
    assert.equal(await field().inputValue(), QUESTION);
    await field().fill("");
    await visit("/ui/assistant");
    await page.getByRole("list", { name: fr["talk.suggestions"] }).getByRole("button", { name: QUESTION }).waitFor();
  });

  test("a conversation is renamed, found by its name, and deleted after a question", async () => {
    const row = () => list().getByRole("listitem").first();
    await row().hover();
    await row().getByRole("button").first().click();
    await dialog().getByLabel(fr["talk.title"]).fill("Pauses des conducteurs");
    await wellMade("renaming");
    await button(fr["talk.rename"], dialog()).click();
    await list().getByRole("link", { name: /Pauses des conducteurs/ }).waitFor();
    await page.getByRole("searchbox", { name: fr["talk.find"] }).fill("nulle part ainsi nommée");
    await page.getByText(fr["talk.noneFound"]).waitFor();
    await page.getByRole("searchbox", { name: fr["talk.find"] }).fill("pauses");
    await list().getByRole("link", { name: /Pauses des conducteurs/ }).click();
    const address = page.url();
    await row().hover();
    await row().getByRole("button").nth(1).click();
    await dialog().getByText(fr["talk.deleteFinal"]).waitFor();
    await wellMade("the question before deleting");
    await button(fr["talk.delete"], dialog()).click();
    await page.waitForURL("**/ui/assistant");
    await page.goto(address);
    await page.getByRole("alert").getByText(fr["talk.lost"]).waitFor();
  });

  test("the home page and the search hand a question over", async () => {
    await visit("/ui/");
    await page.getByRole("searchbox").fill(QUESTION);
    await page.getByRole("link", { name: fr["search.ask"] }).click();
    await page.waitForURL(/\/ui\/assistant\/./);
    await answers().first().getByText("quarante-cinq minutes").first().waitFor({ timeout: 30_000 });
    await visit(`/ui/search?q=${encodeURIComponent("pause")}`);
    assert.match(await page.getByRole("link", { name: fr["search.ask"] }).getAttribute("href"), /ask=pause$/);
  });

  test("the history tells what was asked, replays it, and leaves as a file", async () => {
    await visit("/ui/history");
    await page.getByRole("button", { name: new RegExp(QUESTION.slice(0, 20)) }).first().waitFor();
    await wellMade("the history");
    await page.getByLabel(fr["history.filter"]).fill("clafoutis");
    await page.waitForURL(/q=clafoutis/);
    await page.getByRole("button", { name: new RegExp(QUESTION.slice(0, 20)) }).first().waitFor({ state: "detached" });
    await page.getByRole("button", { name: /clafoutis/ }).first().click();
    await dialog().getByText(FOREIGN).first().waitFor();
    await wellMade("an event");
    await button(fr.close, dialog()).click();
    await button(fr["documents.unfilter"]).click();
    const rows = page.getByRole("table").getByRole("checkbox");
    await rows.first().check();
    await page.getByRole("button", { name: say("history.replaySome.one", { n: 1 }) }).click();
    const replays = page.getByRole("region", { name: fr["history.replayTitle"] });
    await replays.getByText(fr["history.same"], { exact: true }).waitFor({ timeout: 30_000 });
    await wellMade("a replay");
    const [file] = await Promise.all([page.waitForEvent("download"), button(fr["history.json"]).click()]);
    const chunks = [];
    for await (const chunk of await file.createReadStream()) chunks.push(chunk);
    const told = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    assert.ok(told.some((event) => event.payload.question === QUESTION && !Number.isNaN(Date.parse(event.created_at))));
  });

  test("nobody sees another's conversations, and who may not ask sees no way in", async () => {
    const mine = (await good("GET", "/chat/conversations")).items[0].id;
    const other = await context.browser().newContext({ locale: "fr-FR" });
    const theirs = await other.newPage();
    await enter(theirs, "k.traore");
    await theirs.goto(`${box.url}/ui/assistant/${mine}`);
    await theirs.getByRole("alert").getByText(fr["talk.lost"]).waitFor();
    assert.equal(await theirs.getByRole("complementary").getByRole("listitem").count(), 0);
    await theirs.goto(`${box.url}/ui/history`);
    await theirs.getByText(fr["history.none"]).waitFor();
    await theirs.goto(`${box.url}/ui/admin/models`);
    await theirs.getByText(fr["desk.closed.manage_assistant"]).waitFor();
    await other.close();
    const third = await context.browser().newContext({ locale: "fr-FR" });
    const closed = await third.newPage();
    await enter(closed, "m.benali");
    await closed.locator("main h1").waitFor();
    assert.equal(await closed.getByRole("link", { name: fr["nav.assistant"], exact: true }).count(), 0);
    assert.equal(await closed.getByRole("link", { name: fr["search.ask"] }).count(), 0);
    await closed.goto(`${box.url}/ui/assistant`);
    await closed.getByText(fr["desk.closed.use_assistant"]).waitFor();
    await third.close();
  });

  test("without a model the page says what to bring, and a broken file is refused in words", async () => {
    await visit("/ui/admin/models");
    await page.getByText(fr["models.emptyTitle"]).waitFor();
    await wellMade("models, none yet");
    await page.getByLabel(fr["models.pick"]).setInputFiles({ name: "faux.gguf", mimeType: "application/octet-stream", buffer: CUT });
    await page.getByRole("alert").getByText(fr["fault.model_damaged"]).waitFor();
    await wellMade("a refused model");
    await page.getByText(fr["models.emptyTitle"]).waitFor();
  });

  test("a model is added, used, answers, and is removed", { skip: NO_MODEL }, async () => {
    await visit("/ui/admin/models");
    await page.getByLabel(fr["models.pick"]).setInputFiles({ name: "stories.gguf", mimeType: "application/octet-stream", buffer: await readFile(MODEL) });
    // A model that finds by meaning may stand beside it.
    const model = page.locator("main article").filter({ hasText: "stories" });
    await model.waitFor({ timeout: 30_000 });
    await model.locator("summary").click();
    await model.getByText("llama", { exact: true }).waitFor();
    await wellMade("a model");
    await button(fr["models.use"], model).click();
    await dialog().getByText(/mémoire/).first().waitFor();
    await wellMade("before a model is used");
    await button(fr["models.use"], dialog()).click();
    await model.getByText(fr["models.inUse"]).waitFor();

    await visit("/ui/assistant");
    await field().fill(QUESTION);
    await page.keyboard.press("Enter");
    await answers().first().waitFor({ timeout: 60_000 });
    await wellMade("an answer with a model");

    await visit("/ui/admin/models");
    await button(fr["models.stop"], model).click();
    await button(fr["models.stop"], dialog()).click();
    await button(fr["models.use"], model).waitFor();
    await model.getByRole("button", { name: /^Supprimer/ }).click();
    await button(fr["models.remove"], dialog()).click();
    await page.getByText(fr["models.emptyTitle"]).waitFor();
  });

  test("in English, on a phone and in the dark, nothing is cut and no sentence is missing", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await page.evaluate(() => localStorage.setItem("ilot.language", "en"));
    await page.setViewportSize({ width: 360, height: 740 });
    const mine = (await good("GET", "/chat/conversations")).items[0].id;
    const keys = Object.keys(en).filter((key) => key.includes(".") && !key.startsWith("deed."));
    for (const path of ["/ui/assistant", `/ui/assistant/${mine}`, "/ui/history", "/ui/admin/models", "/ui/"]) {
      await visit(path);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 360, `${path} is ${wide} px wide`);
      await wellMade(`${path} on a phone in the dark`);
      const text = await page.locator("body").innerText();
      assert.deepEqual(keys.filter((key) => text.split(/\s+/).includes(key)), [], `${path} shows a key instead of its sentence`);
    }
    await visit("/ui/assistant");
    await button(en["talk.openList"]).click();
    await dialog().getByRole("link").first().waitFor();
    await wellMade("the drawer of conversations");
    await dialog().getByRole("link").first().click();
    await page.waitForURL(/\/ui\/assistant\/./);
    assert.equal(await dialog().count(), 0);
  });

  test("nothing was asked from anywhere else, and nothing complained", () => {
    assert.deepEqual(misdeeds, []);
  });
});
