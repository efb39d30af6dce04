// The administration in a real browser: people, roles, sessions, keys and the journal, each deed with its plan before it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { barriers, open, SKIP, startBox, words } from "./browser.mjs";

const ADMIN = { username: "claire", password: "tuile orage violon carafe 42" };
const WORD = "grenier plume cactus bascule 17";
const PEOPLE = [
  { username: "m.benali", display_name: "Mehdi Benali", role: "planner", email: "mehdi.benali@depot-lyon.local" },
  { username: "n.rousseau", display_name: "Nadège Rousseau", role: "finance", email: "nadege.rousseau@depot-lyon.local" },
  { username: "j.moreau", display_name: "Jean-Marc Moreau", role: "driver_admin" },
  { username: "k.traore", display_name: "Kadiatou Traoré", role: "manager" },
];
const LISTS = ["/ui/admin/users", "/ui/admin/roles", "/ui/admin/sessions", "/ui/admin/apikeys", "/ui/admin/journal"];

describe("the administration", { skip: SKIP, concurrency: false }, () => {
  let box, browser, context, page, misdeeds, fr, en, admin;
  const people = {};
  const button = (name, within = page) => within.getByRole("button", { name, exact: true });
  const field = (name, within = page) => within.getByLabel(name, { exact: true });
  const row = (text) => page.getByRole("row").filter({ hasText: text });
  const dialog = () => page.getByRole("dialog");
  const say = (key, values = {}) => fr[key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

  /** What a program asks of the box, as whoever the token says. */
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

  before(async () => {
    [fr, en] = [await words("fr"), await words("en")];
    box = await startBox();
    await good("POST", "/setup", {
      ...ADMIN, token: box.token, site: "Dépôt de Lyon-Vénissieux", language: "fr", time_zone: "Europe/Paris", colour: "#a3491c",
      display_name: "Claire Martin",
    }, null);
    admin = await signIn(ADMIN.username, ADMIN.password);
    for (const one of PEOPLE) people[one.username] = (await good("POST", "/admin/users", { ...one, password: WORD })).id;
    ({ browser, context, page, misdeeds } = await open({}, { box: box.url, refusals: [401, 403, 404, 409, 422] }));
    await page.goto(`${box.url}/ui/login`);
    await field(fr["login.username"]).fill(ADMIN.username);
    await field(fr["login.password"]).fill(ADMIN.password);
    await button(fr["login.enter"]).click();
    await page.waitForURL("**/ui/");
  });
  after(async () => {
    await browser?.close();
    await box?.stop();
  });

  async function wellMade(where) {
    assert.deepEqual(await barriers(page), [], `axe on ${where}`);
  }
  async function visit(path) {
    await page.goto(`${box.url}${path}`);
    await page.locator("main h1").waitFor();
    await page.waitForLoadState("networkidle");
  }

  test("an account is made with the keyboard alone, and its temporary password is told once", async () => {
    await page.locator("main h1").waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("a");
    await page.waitForURL("**/ui/admin/users");
    await page.getByRole("heading", { level: 1, name: fr["desk.users"] }).waitFor();
    await row("Nadège Rousseau").waitFor();
    await wellMade("users");
    for (let steps = 0; steps < 10; steps += 1) {
      await page.keyboard.press("Tab");
      if ((await page.evaluate(() => document.activeElement?.textContent?.trim())) === fr["users.add"]) break;
    }
    await page.keyboard.press("Enter");
    await dialog().waitFor();
    await wellMade("the form of a new account");
    await page.keyboard.type("Thi Hoa Nguyen");
    await page.keyboard.press("Tab");
    assert.equal(await field(fr["user.username"], dialog()).inputValue(), "t.hoanguyen", "a name is proposed");
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.type("m.benali");
    await page.keyboard.press("Enter");
    await dialog().getByText(fr["fault.user_exists"]).waitFor();
    const name = field(fr["user.username"], dialog());
    await name.focus();
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.type("t.nguyen");
    await page.keyboard.press("Enter");
    const secret = dialog().locator("output");
    await secret.waitFor();
    const password = (await secret.innerText()).trim();
    await wellMade("a password told once");
    assert.ok(password.length >= 12);
    const told = await good("POST", "/auth/login", { username: "t.nguyen", password }, null);
    assert.equal(told.must_change_password, true);
    await button(fr.close, dialog()).focus();
    await page.keyboard.press("Enter");
    await dialog().waitFor({ state: "detached" });
    await row("t.nguyen").waitFor();
  });

  test("the list is narrowed by name without accents, by role and by state", async () => {
    await page.getByRole("searchbox").fill("nadege");
    await row("Mehdi Benali").waitFor({ state: "detached" });
    assert.equal(await row("Nadège Rousseau").count(), 1);
    assert.match(page.url(), /q=nadege/);
    await page.getByRole("searchbox").fill("personne de ce nom");
    await page.getByText(fr["users.none"]).waitFor();
    await button(fr["documents.unfilter"]).click();
    await row("Mehdi Benali").waitFor();
    await page.getByRole("combobox").selectOption("driver_admin");
    await row("Mehdi Benali").waitFor({ state: "detached" });
    await row("Jean-Marc Moreau").waitFor();
  });

  test("an invitation is made, waits, and is taken back", async () => {
    await visit("/ui/admin/users");
    await button(fr["users.add"]).click();
    await button(fr["add.link"], dialog()).click();
    await field(fr["user.nameOptional"], dialog()).fill("Inès Fontaine");
    await field(fr["user.role"], dialog()).selectOption("user");
    await button(fr["invite.make"], dialog()).click();
    const link = (await dialog().locator("output").innerText()).trim();
    await wellMade("an invitation told once");
    const word = new URL(link).searchParams.get("token");
    assert.equal((await ask("GET", `/auth/invitations/${word}`, undefined, null)).status, 200);
    await button(fr.close, dialog()).click();
    const waiting = row("Inès Fontaine");
    await waiting.getByRole("button").click();
    await button(fr["invite.revoke"], dialog()).click();
    await waiting.waitFor({ state: "detached" });
    assert.equal((await ask("GET", `/auth/invitations/${word}`, undefined, null)).status, 404);
  });

  test("another role is given after the password was given again", async () => {
    await visit(`/ui/admin/users/${people["m.benali"]}`);
    await wellMade("one user");
    await field(fr["user.role"]).selectOption("planner_advanced");
    await page.getByText(/Gagne\s:|Perd\s:/).first().waitFor();
    // The password was just given, so the box's first answer is put in its mouth; the proof and the repeat are real.
    let refused = 0;
    await page.route("**/admin/users/*", (route) => {
      if (route.request().method() !== "PUT" || refused++ > 0) return route.fallback();
      return route.fulfill({ status: 403, json: { error: "", detail: "", code: "step_up_required", request_id: "test" } });
    });
    await button(fr.save).click();
    const again = page.getByRole("dialog", { name: fr["stepUp.title"] });
    await again.waitFor();
    await wellMade("the password again");
    await field(fr["login.password"], again).fill(ADMIN.password);
    await button(fr["stepUp.give"], again).click();
    await page.getByText(say("user.saved", { who: "Mehdi Benali" })).waitFor();
    await page.unroute("**/admin/users/*");
    assert.equal((await good("GET", `/admin/users/${people["m.benali"]}`)).role, "planner_advanced");
  });

  test("a field the box does not accept says so at the field", async () => {
    await field(fr["user.email"]).fill("pas une adresse");
    await button(fr.save).click();
    await page.getByText(fr["field.string_pattern"]).waitFor();
    assert.equal(await field(fr["user.email"]).getAttribute("aria-invalid"), "true");
    await button(fr.undo).click();
    assert.equal(await field(fr["user.email"]).inputValue(), "mehdi.benali@depot-lyon.local");
  });

  test("a right is lent until a day, and taken back", async () => {
    await button(fr["grant.give"]).click();
    await field(fr["grant.right"], dialog()).selectOption("view_analyse");
    await field(fr["grant.untilOptional"], dialog()).fill("2099-12-18");
    await field(fr["grant.reason"], dialog()).fill("Bilan de fin d’année");
    await wellMade("lending a right");
    await button(fr["grant.give"], dialog()).click();
    const lent = row("Bilan de fin d’année");
    await lent.waitFor();
    assert.equal((await good("GET", `/admin/users/${people["m.benali"]}`)).permissions.view_analyse, true);
    await lent.getByRole("button").click();
    await button(fr["grant.back"], dialog()).click();
    await lent.waitFor({ state: "detached" });
    assert.equal((await good("GET", `/admin/users/${people["m.benali"]}`)).permissions.view_analyse, false);
  });

  test("a role is copied, changed, and deleted when nobody has it", async () => {
    await visit("/ui/admin/roles");
    await wellMade("roles");
    const planner = (await good("GET", "/admin/roles")).find((role) => role.name === "planner");
    await visit(`/ui/admin/roles/new?from=${planner.id}`);
    await wellMade("a new role");
    await field(fr["role.name"]).fill("Chef de quai");
    await button(fr["role.make"]).click();
    await page.getByText(fr["field.role_name.string_pattern"]).waitFor();
    await field(fr["role.name"]).fill("chef_de_quai");
    await page.getByRole("checkbox", { checked: true }).first().uncheck();
    await button(fr["role.make"]).click();
    await page.waitForURL(/\/ui\/admin\/roles\/\d+$/);
    await page.getByRole("heading", { level: 1, name: "chef_de_quai" }).waitFor();
    const made = (await good("GET", "/admin/roles")).find((role) => role.name === "chef_de_quai");
    assert.equal(made.rights.length, planner.rights.length - 1);
    await button(fr["role.delete"]).click();
    await button(fr["role.delete"], dialog()).click();
    await page.waitForURL("**/ui/admin/roles");
    await row("planner_advanced").waitFor();
    assert.equal(await row("chef_de_quai").count(), 0);
  });

  test("changes that are not saved are not lost in silence", async () => {
    const asked = page.getByRole("dialog", { name: fr["guard.unsaved"] });
    const tab = page.getByRole("navigation", { name: fr["nav.admin"] }).getByRole("link", { name: fr["desk.sessions"] });
    const planner = (await good("GET", "/admin/roles")).find((role) => role.name === "planner");
    await visit("/ui/admin/roles");
    await page.getByRole("main").locator(`a[href="/ui/admin/roles/${planner.id}"]`).first().click();
    const right = page.locator("fieldset").getByRole("checkbox", { checked: true }).first();
    await right.waitFor();
    const path = new URL(page.url()).pathname;
    const held = page.locator("fieldset").getByRole("checkbox", { checked: true });
    const count = await held.count();
    await right.uncheck();
    for (const go of [() => tab.click(), () => page.evaluate(() => history.back())]) {
      await go();
      await asked.waitFor();
      await button(fr["guard.stay"], asked).click();
      await asked.waitFor({ state: "detached" });
      assert.equal(new URL(page.url()).pathname, path);
      assert.equal(await held.count(), count - 1);
    }
    await page.evaluate(() => history.back());
    await button(fr["guard.leave"], asked).click();
    await page.waitForURL("**/ui/admin/roles");
    // An account's page asks the same, and lets go of what is as it was.
    await visit(`/ui/admin/users/${people["n.rousseau"]}`);
    const name = field(fr["user.name"]);
    await name.fill("Nadège R.");
    await tab.click();
    await button(fr["guard.stay"], asked).click();
    assert.equal(await name.inputValue(), "Nadège R.");
    await button(fr.undo).click();
    await tab.click();
    await page.waitForURL("**/ui/admin/sessions");
    assert.equal(await asked.count(), 0);
  });

  test("the administrator's rights are shown and cannot be taken", async () => {
    const fixed = (await good("GET", "/admin/roles")).find((role) => role.name === "admin");
    await visit(`/ui/admin/roles/${fixed.id}`);
    await page.getByText(fr["role.fixedTitle"]).waitFor();
    const rights = page.locator("fieldset").getByRole("checkbox");
    for (const one of await rights.all()) assert.ok((await one.isDisabled()) && (await one.isChecked()));
  });

  test("a session is ended, and whoever had it is out at once", async () => {
    const token = await signIn("k.traore");
    assert.equal((await ask("GET", "/auth/me", undefined, token)).status, 200);
    await visit("/ui/admin/sessions");
    await wellMade("sessions");
    const hers = row("Kadiatou Traoré");
    await hers.getByRole("button").last().click();
    await dialog().getByText(say("session.endTitle", { who: "Kadiatou Traoré" })).waitFor();
    await wellMade("the question before ending a session");
    await button(fr["session.end"], dialog()).click();
    await hers.waitFor({ state: "detached" });
    assert.equal((await ask("GET", "/auth/me", undefined, token)).status, 401);
    assert.equal(await row(fr["session.this"]).getByRole("button").count(), 0, "one's own session is not ended from here");
  });

  test("whoever leaves is told what will be taken back, and then has nothing", async () => {
    await signIn("j.moreau");
    const token = await signIn("j.moreau");
    await good("POST", `/admin/users/${people["j.moreau"]}/grants`, { right: "view_finance" });
    await visit(`/ui/admin/users/${people["j.moreau"]}`);
    await button(fr["offboard.open"]).click();
    await dialog().getByText(say("taken.sessions.other", { n: "2" })).waitFor();
    await dialog().getByText(say("taken.grants.one", { n: "1" })).waitFor();
    await wellMade("the plan of an offboarding");
    await button(fr.cancel, dialog()).click();
    assert.equal((await ask("GET", "/auth/me", undefined, token)).status, 200, "the plan alone takes nothing");
    await button(fr["offboard.open"]).click();
    await button(fr["offboard.action"], dialog()).click();
    await page.getByText(fr["user.goneTitle"]).waitFor();
    assert.equal((await ask("GET", "/auth/me", undefined, token)).status, 401);
    assert.equal((await ask("POST", "/auth/login", { username: "j.moreau", password: WORD }, null)).status, 401);
  });

  test("a program's key is seen and deleted", async () => {
    const token = await signIn("n.rousseau");
    const { key } = await good("POST", "/apikeys", { name: "tableur du mois", scopes: ["read_documents"], expires_in_days: 5 }, token);
    const shown = () => fetch(`${box.url}/auth/me`, { headers: { "x-api-key": key } });
    assert.equal((await shown()).status, 200);
    await visit("/ui/admin/apikeys");
    await wellMade("keys");
    const one = row("tableur du mois");
    assert.equal(await one.locator(".warn").count(), 1, "a key that ends soon is marked");
    await one.getByRole("button").click();
    await button(fr["allkeys.delete"], dialog()).click();
    await one.waitFor({ state: "detached" });
    assert.equal((await shown()).status, 401);
  });

  test("the journal is narrowed, opened, and found whole", async () => {
    await visit("/ui/admin/journal");
    await wellMade("the journal");
    await button(fr["chain.check"]).click();
    await page.getByText(fr["chain.whole"]).waitFor();
    await field(fr["journal.what"]).selectOption("user.");
    await page.waitForURL(/deed=user/);
    await field(fr["journal.object"]).fill("m.benali");
    await page.waitForURL(/object=m.benali/);
    const edit = page.locator("ol.entries li").filter({ hasText: "user.edit" });
    await edit.first().locator("summary").focus();
    await page.keyboard.press("Enter");
    const changed = edit.first().getByRole("row").filter({ hasText: fr["member.role"] });
    await changed.waitFor();
    const cells = await changed.getByRole("cell").allInnerTexts();
    assert.equal(cells.length, 2);
    assert.notEqual(cells[0], cells[1]);
    await wellMade("an opened entry");
    assert.equal(await page.locator("ol.entries li").filter({ hasText: "session.begin" }).count(), 0);
    await button(fr["documents.unfilter"]).click();
    await page.locator("ol.entries li").filter({ hasText: "activity.read" }).first().waitFor();
  });

  test("every filter of the journal is sent as it stands", async () => {
    await visit("/ui/admin/journal");
    const who = field(fr["journal.who"]);
    await who.fill("claire");
    await page.waitForURL(/who=claire/);
    // At once after each other, before the emptied field has been sent.
    await who.fill("");
    await field(fr["journal.what"]).selectOption("user.");
    await page.waitForURL((url) => url.searchParams.get("deed") === "user.");
    await page.waitForTimeout(600);
    assert.equal(await who.inputValue(), "");
    assert.equal(new URL(page.url()).searchParams.get("who"), null);
    assert.equal(new URL(page.url()).searchParams.get("deed"), "user.");
  });

  test("a changed role is told in its row, and found by a filter of its own", async () => {
    await field(fr["journal.what"]).selectOption({ label: fr["journal.roleChanges"] });
    const entries = page.locator("ol.entries li");
    await entries.first().getByText(say("journal.roleChanged", { from: "Planificateur", to: "Planificateur avancé" })).waitFor();
    assert.equal(await entries.count(), 1);
    await wellMade("the changes of roles");
    await button(fr["journal.yesterday"]).click();
    await page.getByText(fr["journal.noneFiltered"]).waitFor();
    assert.equal(await button(fr["documents.unfilter"]).count(), 1);
    await button(fr["documents.unfilter"]).click();
    await entries.nth(1).waitFor();
  });

  test("the signed journal leaves as a file", async () => {
    const [download] = await Promise.all([page.waitForEvent("download"), button(fr["journal.export"]).click()]);
    assert.match(download.suggestedFilename(), /\.ndjson$/);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    assert.match(Buffer.concat(chunks).toString("utf8"), /user\.offboard/);
  });

  test("in English, on a phone and in the dark, nothing is cut and no sentence is missing", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await page.evaluate(() => localStorage.setItem("ilot.language", "en"));
    await page.setViewportSize({ width: 360, height: 740 });
    const planner = (await good("GET", "/admin/roles")).find((role) => role.name === "planner");
    const keys = Object.keys(en).filter((key) => key.includes(".") && !key.startsWith("deed."));
    for (const path of [...LISTS, `/ui/admin/users/${people["m.benali"]}`, `/ui/admin/roles/${planner.id}`, "/ui/admin/roles/new"]) {
      await visit(path);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 360, `${path} is ${wide} px wide`);
      await wellMade(`${path} on a phone in the dark`);
      if (path.endsWith("journal")) continue;
      const text = await page.locator("body").innerText();
      assert.deepEqual(keys.filter((key) => text.split(/\s+/).includes(key)), [], `${path} shows a key instead of its sentence`);
    }
  });

  test("who may not administer sees no way in", async () => {
    const other = await context.browser().newContext({ locale: "fr-FR" });
    const theirs = await other.newPage();
    await theirs.goto(`${box.url}/ui/login`);
    await field(fr["login.username"], theirs).fill("k.traore");
    await field(fr["login.password"], theirs).fill(WORD);
    await button(fr["login.enter"], theirs).click();
    await theirs.locator("main h1").waitFor();
    await theirs.waitForURL("**/ui/");
    assert.equal(await theirs.getByRole("link", { name: fr["nav.admin"] }).count(), 0);
    await theirs.goto(`${box.url}/ui/admin/users`);
    await theirs.getByText(fr["desk.closed.manage_rights"]).waitFor();
    assert.equal(await theirs.locator("main").getByRole("button").count(), 0, "nothing is offered that would be refused");
    assert.equal(await theirs.getByRole("alert").count(), 0);
    await theirs.goto(`${box.url}/ui/admin/journal`);
    await theirs.getByText(fr["desk.closed.view_sauron"]).waitFor();
    await theirs.getByRole("link", { name: fr["desk.home"] }).click();
    await theirs.waitForURL("**/ui/");
    await other.close();
  });

  test("nothing was asked from anywhere else, and nothing complained", () => {
    assert.deepEqual(misdeeds, []);
  });
});
