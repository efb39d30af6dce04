// The flows of a real box in a real browser, in the order a new box meets them.
import assert from "node:assert/strict";
import { after, before, describe, test as plainTest } from "node:test";
import { barriers, BOX, open, SETUP_LINK, SKIP, words } from "./browser.mjs";

const SITE = "Dépôt de Lyon-Vénissieux";
const USER = "claire";
const PASSWORD = "tuile orage violon carafe 42";
const RULE = "Après quatre heures et demie de conduite, le conducteur prend une pause ininterrompue de quarante-cinq minutes.";

/** A document long enough that its rule lies screens below its beginning; the smile is two UTF-16 units and one character. */
function handbook() {
  const filler = (part) =>
    Array.from({ length: 40 }, (_, at) => `Article ${part}.${at + 1} 🙂 Les clés du véhicule sont rendues au bureau avec le carnet de bord, signé et daté.`).join("\n\n");
  return `# Manuel du dépôt\n\n## Véhicules\n\n${filler(1)}\n\n## Temps de repos\n\n${RULE}\n\n## Divers\n\n${filler(2)}\n`;
}

/** Each flow stands on the ones before it: after a set-up that failed there is nothing to learn from the rest. */
let standing = true;
function test(name, flow) {
  plainTest(name, async (context) => {
    if (!standing) return context.skip("the set-up failed");
    await flow(context);
  });
}

const FILES = [
  { name: "manuel.md", type: "text/markdown", text: handbook() },
  { name: "astreinte.txt", type: "text/plain", text: "Le numéro d'astreinte du week-end est affiché au tableau de la salle de repos.\n" },
  { name: "abîmé.pdf", type: "application/pdf", text: "%PDF-1.7\nCe fichier a perdu tout ce qui suit.\n" },
];

describe("the pages", { skip: SKIP, concurrency: false }, () => {
  let browser, context, page, misdeeds, fr, en;
  const button = (name) => page.getByRole("button", { name, exact: true });

  before(async () => {
    [fr, en] = [await words("fr"), await words("en")];
    ({ browser, context, page, misdeeds } = await open());
  });
  after(() => browser?.close());

  async function wellMade(where) {
    assert.deepEqual(await barriers(page), [], `axe on ${where}`);
  }

  async function signIn(password = PASSWORD) {
    await page.getByLabel(fr["login.username"], { exact: true }).fill(USER);
    await page.getByLabel(fr["login.password"], { exact: true }).fill(password);
    await button(fr["login.enter"]).click();
  }

  test("a new box leads anybody to its set-up, and asks for the link", async () => {
    await page.goto(`${BOX}/ui/documents`);
    await page.waitForURL("**/ui/setup");
    await page.getByText(fr["setup.noToken"]).waitFor();
    await wellMade("the set-up without a link");
  });

  test("the wizard makes the site and its administrator", async () => {
    standing = false;
    await page.goto(SETUP_LINK);
    await page.getByRole("heading", { name: fr["setup.languageTitle"] }).waitFor();
    assert.ok(!page.url().includes("token"), "the secret stays in the address bar");
    await wellMade("the language step");
    await page.getByRole("radio", { name: "English" }).check();
    await page.getByRole("heading", { name: en["setup.languageTitle"] }).waitFor();
    await page.getByRole("radio", { name: "Français" }).check();
    await button(fr["setup.next"]).click();

    await button(fr["setup.next"]).click();
    await page.getByText(fr["setup.siteMissing"]).waitFor();
    await page.getByLabel(fr["setup.site"]).fill(SITE);
    await page.getByRole("radio", { name: fr["colour.rust"] }).check();
    await wellMade("the site step");
    await button(fr["setup.next"]).click();

    await page.getByLabel(fr["setup.displayName"]).fill("Claire Martin");
    await page.getByLabel(fr["login.username"], { exact: true }).fill(USER);
    const password = page.getByLabel(fr["login.password"], { exact: true });
    await password.fill("court");
    await button(fr["setup.next"]).click();
    assert.equal(await password.getAttribute("aria-invalid"), "true");
    await button(fr["field.show"]).click();
    assert.equal(await password.getAttribute("type"), "text");
    await password.fill(PASSWORD);
    await page.getByText(fr["setup.strength.strong"]).waitFor();
    await wellMade("the administrator step");
    await button(fr["setup.next"]).click();

    await page.getByText(fr["setup.clockAgree"]).waitFor();
    await page.getByLabel(fr["setup.zone"]).selectOption("Europe/Paris");
    await wellMade("the clock step");
    await button(fr["setup.finish"]).click();
    await page.getByRole("heading", { name: fr["setup.doneTitle"].replace("{site}", SITE) }).waitFor();
    standing = true;
    await wellMade("the last step");
  });

  test("the same link opens nothing a second time", async () => {
    const second = await context.newPage();
    await second.goto(SETUP_LINK);
    await second.getByText(fr["setup.already"]).waitFor();
    await second.close();
  });

  test("signing out and in, a wrong password in between", async () => {
    await page.goto(`${BOX}/ui/`);
    await page.getByText(SITE).first().waitFor();
    const stripe = await page.evaluate(() => getComputedStyle(document.querySelector("header")).borderTopColor);
    assert.equal(stripe, "rgb(163, 73, 28)", "the header wears the colour that was chosen");
    await page.locator("header details > summary").click();
    await button(fr["menu.leave"]).click();
    await page.getByRole("heading", { name: fr["login.title"] }).waitFor();
    await page.getByText(SITE).first().waitFor();
    await wellMade("sign-in");
    await signIn("ce n’est pas le bon mot");
    await page.getByRole("alert").getByText(fr["fault.bad_credentials"]).waitFor();
    await wellMade("a refused sign-in");
    await page.goto(`${BOX}/ui/search?q=astreinte`);
    await page.waitForURL("**/ui/login?next=*");
    await signIn();
    await page.waitForURL("**/ui/search?q=astreinte");
  });

  test("an empty box says what to do next", async () => {
    await page.goto(`${BOX}/ui/documents`);
    await page.getByText(fr["intake.title"]).waitFor();
    await wellMade("documents, none yet");
    await page.goto(`${BOX}/ui/`);
    await page.getByText(fr["intake.title"]).waitFor();
    await wellMade("home, no document yet");
  });

  test("dropped files become ready, or say why not", async () => {
    await page.goto(`${BOX}/ui/documents`);
    await page.getByText(fr["intake.title"]).waitFor();
    const transfer = await page.evaluateHandle((files) => {
      const transfer = new DataTransfer();
      for (const { name, type, text } of files) transfer.items.add(new File([text], name, { type }));
      return transfer;
    }, FILES);
    for (const event of ["dragenter", "dragover", "drop"]) await page.dispatchEvent("main", event, { dataTransfer: transfer });

    const rows = page.getByRole("table").getByRole("row");
    const manual = rows.filter({ hasText: "manuel.md" });
    const broken = rows.filter({ hasText: "abîmé.pdf" });
    await manual.getByText(fr["state.ready"], { exact: true }).waitFor({ timeout: 60_000 });
    await rows.filter({ hasText: "astreinte.txt" }).getByText(fr["state.ready"], { exact: true }).waitFor({ timeout: 60_000 });
    await broken.getByText(fr["state.failed"], { exact: true }).waitFor({ timeout: 60_000 });
    const reason = (await broken.locator(".reason").innerText()).trim();
    assert.match(reason, /\S+ \S+ \S+/, "the reason is a sentence");
    const key = Object.keys(fr).find((key) => key.startsWith("fault.") && fr[key] === reason);
    assert.ok(key, `the reason is not in French: ${reason}`);
    await wellMade("documents");
  });

  test("the same file again is told as already there", async () => {
    const [, note] = FILES;
    await page.getByLabel(fr["intake.files"]).first().setInputFiles([{ name: note.name, mimeType: note.type, buffer: Buffer.from(note.text) }]);
    await page.getByText(fr["upload.unchanged"]).waitFor();
  });

  test("a document is deleted only after it was named and confirmed", async () => {
    const erase = page.getByRole("row").getByRole("button", { name: fr["documents.deleteName"].replace("{title}", "abîmé.pdf") });
    await erase.click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("abîmé.pdf").first().waitFor();
    await wellMade("the question before deleting");
    await dialog.getByRole("button", { name: fr.cancel }).click();
    await page.getByRole("row").filter({ hasText: "abîmé.pdf" }).first().waitFor();
    await erase.click();
    await dialog.getByRole("button", { name: fr["delete.action"] }).click();
    await page.getByRole("row").filter({ hasText: "abîmé.pdf" }).waitFor({ state: "detached" });
  });

  test("the table leaves as CSV", async () => {
    const [download] = await Promise.all([page.waitForEvent("download"), button(fr["documents.csv"]).click()]);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("utf8");
    assert.ok(text.startsWith(`\ufeff${fr["column.title"]};`));
    assert.match(text, /manuel\.md/);
  });

  test("searching needs no mouse, and opens the document at the place", async () => {
    await page.goto(`${BOX}/ui/`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("pause conduite quarante-cinq minutes");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/ui/search?q=*");
    const first = page.locator("ol.hits li").first();
    await first.waitFor();
    assert.match(await first.innerText(), /quarante-cinq minutes/);
    assert.ok((await first.locator("mark").count()) > 0, "the words found are marked");
    await wellMade("search");
    const onFirst = () => page.evaluate(() => document.activeElement?.closest("ol.hits li") === document.querySelector("ol.hits li"));
    await page.keyboard.press("ArrowDown");
    assert.equal(await onFirst(), true, "an arrow leads from the field to the first result");
    await page.keyboard.press("k");
    assert.equal(await onFirst(), false, "k leads back up to the field");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/ui/documents/*start=*");
    const mark = page.locator("article mark").filter({ hasText: "quarante-cinq minutes" }).first();
    await mark.waitFor();
    await page.waitForFunction(() => {
      const bar = document.querySelector(".top").getBoundingClientRect().bottom;
      const box = document.querySelector("article mark").getBoundingClientRect();
      return box.top >= bar && box.bottom <= innerHeight && scrollY > 400;
    });
    assert.ok((await mark.innerText()).includes(RULE), "the mark covers the whole sentence, to the character");
    await wellMade("a document");
  });

  test("going back finds the results as they were left", async () => {
    await page.goBack();
    await page.locator("ol.hits li").first().waitFor();
    await page.waitForFunction(() => document.activeElement?.closest("ol.hits") !== null);
  });

  test("the outline leads to a heading", async () => {
    await page.locator("ol.hits h2 a").first().click();
    const outline = page.getByRole("navigation", { name: fr["document.outline"] });
    await outline.getByRole("link", { name: "Divers" }).click();
    await page.waitForFunction(() => document.activeElement?.id === "place" && document.activeElement.textContent.includes("Divers"));
  });

  test("words nobody wrote find nothing, and the page says what to try", async () => {
    await page.goto(`${BOX}/ui/search?q=${encodeURIComponent("zygomorphe krypton")}&language=nl`);
    await page.getByText(fr["search.noneFiltered"]).waitFor();
    await wellMade("search without results");
  });

  test("the keys are listed on ?", async () => {
    await page.goto(`${BOX}/ui/health`);
    await page.getByRole("heading", { name: fr["health.title"] }).waitFor();
    await page.getByText(fr["health.parts"]).waitFor();
    await wellMade("health");
    await page.keyboard.press("?");
    await page.getByRole("dialog").getByText(fr["keys.next"]).waitFor();
    await wellMade("the list of keys");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("g");
    await page.keyboard.press("d");
    await page.waitForURL("**/ui/documents");
  });

  test("an address that leads nowhere says so", async () => {
    await page.goto(`${BOX}/ui/nulle/part`);
    await page.getByText(fr["nowhere.body"]).waitFor();
    await wellMade("nowhere");
  });

  test("English and dark are one click each, and are kept", async () => {
    await page.goto(`${BOX}/ui/`);
    await page.locator("header details > summary").click();
    await button("English").click();
    await page.getByRole("heading", { name: en["home.title"] }).waitFor();
    assert.equal(await page.getAttribute("html", "lang"), "en");
    await button(en["switch.dark"]).click();
    await page.reload();
    await page.getByRole("heading", { name: en["home.title"] }).waitFor();
    const ground = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = Math.max(...ground.match(/\d+/g).slice(0, 3).map(Number));
    assert.ok(light < 64, `the ground is ${ground}`);
  });

  test("the first load is light", async () => {
    const fresh = await browser.newContext({ storageState: await context.storageState() });
    const visit = await fresh.newPage();
    await visit.goto(`${BOX}/ui/`);
    await visit.locator("main h1").waitFor();
    await visit.waitForLoadState("networkidle");
    const bytes = await visit.evaluate(() =>
      [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((sum, one) => sum + one.encodedBodySize, 0),
    );
    await fresh.close();
    assert.ok(bytes > 10_000 && bytes < 200_000, `${bytes} bytes`);
  });

  test("every page fits 360 px and keeps its contrast in the dark", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    await page.goto(`${BOX}/ui/documents`);
    const address = await page.getByRole("link", { name: /Manuel|manuel/ }).first().getAttribute("href");
    for (const path of ["/ui/", "/ui/documents", address, "/ui/search", "/ui/search?q=conducteur", "/ui/health"]) {
      await page.goto(`${BOX}${path}`);
      await page.locator("main h1").waitFor();
      await page.waitForLoadState("networkidle");
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 360, `${path} is ${wide} px wide`);
      await wellMade(`${path} on a phone in the dark`);
    }
    await page.setViewportSize({ width: 1280, height: 800 });
  });

  test("nothing was asked from anywhere else, and nothing complained", () => {
    assert.deepEqual(misdeeds, []);
  });
});
