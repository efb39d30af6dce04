// One's own account in a real browser: the first sign-in, the second factor, an invitation, keys, and a session that ends.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { barriers, open, SKIP, startBox, words } from "./browser.mjs";

const SITE = "Dépôt de Lyon-Vénissieux";
const ADMIN = { username: "claire", password: "tuile orage violon carafe 42" };
const PAUL = "grenier plume cactus bascule 17";
const STEP_S = 30;
const COOKIE = "access_token";

/** The code of RFC 6238 with SHA-256 for a secret in base 32, `ahead` time steps from now. */
function totp(secret, ahead = 0) {
  const bits = [...secret.replaceAll(/[\s=]/g, "")].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 1000 / STEP_S) + ahead));
  const mac = createHmac("sha256", key).update(counter).digest();
  const at = mac.at(-1) & 0xf;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** A code is good once, so the next one is waited for; a little later than needed, because clocks tick apart. */
async function nextStep() {
  const left = STEP_S * 1000 - (Date.now() % (STEP_S * 1000));
  await new Promise((resolve) => setTimeout(resolve, left + 250));
}

describe("one's own account", { skip: SKIP, concurrency: false }, () => {
  let box, browser, context, page, misdeeds, fr, admin, secret;
  let codes = [];
  const button = (name, within = page) => within.getByRole("button", { name, exact: true });
  const field = (name, within = page) => within.getByLabel(name, { exact: true }).and(page.locator("input"));
  const heading = (name) => page.getByRole("heading", { name, exact: true });

  /** What the administrator does meanwhile, without a page. */
  async function ask(method, path, body) {
    const answer = await fetch(`${box.url}${path}`, {
      method,
      headers: { "content-type": "application/json", ...(admin && { authorization: `Bearer ${admin}` }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
    return answer.json();
  }

  before(async () => {
    fr = await words("fr");
    box = await startBox();
    await ask("POST", "/setup", {
      ...ADMIN, token: box.token, site: SITE, language: "fr", time_zone: "Europe/Paris", colour: "#a3491c", display_name: "Claire Martin",
    });
    admin = (await ask("POST", "/auth/login", ADMIN)).access_token;
    ({ browser, context, page, misdeeds } = await open({}, { box: box.url, refusals: [400, 401, 403, 404, 409, 422] }));
  });
  after(async () => {
    await browser?.close();
    await box?.stop();
  });

  async function wellMade(where) {
    assert.deepEqual(await barriers(page), [], `axe on ${where}`);
  }
  async function giveName(username, password) {
    await field(fr["login.username"]).fill(username);
    await field(fr["login.password"]).fill(password);
    await button(fr["login.enter"]).click();
  }
  async function leave() {
    await page.locator("header details > summary").click();
    await button(fr["menu.leave"]).click();
    await heading(fr["login.title"]).waitFor();
    assert.equal(await page.getByText(fr["fault.session_ended"]).count(), 0, "who signs out is not told that the session ended");
  }
  /** The password again, where the box wants it. */
  async function confirmIfAsked(password, what) {
    const dialog = page.getByRole("dialog", { name: fr["stepUp.title"] });
    await Promise.race([dialog.waitFor(), what.waitFor()]);
    if (!(await dialog.isVisible())) return;
    await field(fr["login.password"], dialog).fill(password);
    await button(fr["stepUp.give"], dialog).click();
    await what.waitFor();
  }

  test("what another box left in the browser leads to the sign-in, not to an error", async () => {
    const elsewhere = [{ alg: "RS256", kid: "elsewhere", typ: "JWT" }, { iss: "ilot:elsewhere", exp: 4_102_444_800 }]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
    for (const value of [`${elsewhere.join(".")}.c2lnbmVk`, "pas-un-jeton"]) {
      await context.addCookies([{ name: COOKIE, value, url: box.url, httpOnly: true, sameSite: "Strict" }]);
      await page.goto(`${box.url}/ui/`);
      await heading(fr["login.title"]).waitFor();
    }
    await context.clearCookies();
  });

  test("who was given a password chooses one before anything else", async () => {
    const paul = await ask("POST", "/admin/users", { username: "paul", display_name: "Paul Lenoir", role: "planner" });
    assert.ok(paul.temp_password);
    await page.goto(`${box.url}/ui/documents`);
    await page.waitForURL("**/ui/login?next=*");
    const names = await page.locator("input").evaluateAll((inputs) => inputs.map((input) => input.autocomplete));
    assert.deepEqual(names, ["username", "current-password"], "what password managers look for");
    await giveName("paul", paul.temp_password);
    await heading(fr["hold.passwordTitle"]).waitFor();
    await wellMade("the forced new password");
    assert.equal(await page.getByRole("navigation").count(), 0, "nothing else is offered");
    await page.goto(`${box.url}/ui/health`);
    await heading(fr["hold.passwordTitle"]).waitFor();

    await field(fr["password.temporary"]).fill("ce n’est pas le bon");
    await field(fr["password.new"]).fill(PAUL);
    await button(fr["password.change"]).click();
    await page.getByText(fr["fault.password_wrong"]).waitFor();
    await field(fr["password.temporary"]).fill(paul.temp_password);
    await field(fr["password.new"]).fill(PAUL);
    await button(fr["password.change"]).click();
    await heading(fr["health.title"]).waitFor();
  });

  test("a question still under way when one signs out says nothing of it", async () => {
    let end;
    const over = new Promise((resolve) => (end = resolve));
    // It left with the cookie and is read when the session is over. The browser would send it anew without the cookie,
    // so what the box says to one that it has already is put here.
    await page.route("**/rag/status", async (route) => {
      await over;
      await route.fulfill({ status: 401, json: { error: "x", detail: "x", code: "session_ended", request_id: "r" } });
    });
    const asked = page.waitForRequest("**/rag/status");
    await page.goto(`${box.url}/ui/health`);
    await asked;
    const ended = page.waitForResponse("**/auth/logout");
    const answer = page.waitForResponse("**/rag/status");
    await page.locator("header details > summary").click();
    await button(fr["menu.leave"]).click();
    await ended;
    end();
    await answer;
    await heading(fr["login.title"]).waitFor();
    await page.waitForTimeout(200);
    assert.equal(await page.getByText(fr["fault.session_ended"]).count(), 0);
    await page.unroute("**/rag/status");
    await giveName("paul", PAUL);
    await page.waitForURL((url) => url.pathname === "/ui/" || url.pathname === "/ui/health");
  });

  test("one's own name is changed", async () => {
    await page.locator("header details > summary").click();
    await page.getByRole("link", { name: fr["account.title"] }).click();
    await heading(fr["account.title"]).waitFor();
    await page.getByText(fr["factor.none"]).waitFor();
    await wellMade("the account");
    await field(fr["setup.displayName"]).fill("Paul Le Noir");
    await button(fr["account.save"]).click();
    await page.getByText(fr["account.saved"]).waitFor();
    assert.equal((await ask("GET", "/admin/users")).find((one) => one.username === "paul").display_name, "Paul Le Noir");
  });

  test("a second factor is set up, proved and its recovery codes kept", async () => {
    await button(fr["factor.setUp"]).click();
    await confirmIfAsked(PAUL, page.getByText(fr["enrol.scanTitle"]));
    await page.getByText(fr["enrol.cannotScan"]).click();
    secret = (await page.locator("#factor output").innerText()).replaceAll(/\s/g, "");
    assert.match(secret, /^[A-Z2-7]{16,}$/);
    const drawn = page.getByRole("img", { name: fr["enrol.qr"] });
    await page.waitForFunction((image) => image.complete && image.naturalWidth > 0, await drawn.elementHandle());
    await wellMade("setting up the second factor");

    const wrong = totp(secret, 40);
    await field(fr["code.label"]).fill(wrong);
    await button(fr["enrol.activate"]).click();
    await page.getByText(fr["fault.second_factor_wrong"]).waitFor();
    await field(fr["code.label"]).fill(totp(secret));
    await button(fr["enrol.activate"]).click();
    const list = page.getByRole("list", { name: fr["recovery.list"] });
    await list.waitFor();
    codes = await list.getByRole("listitem").allInnerTexts();
    assert.ok(codes.length >= 5 && codes.every((code) => /^\S+-\S+$/.test(code)), codes.join(" "));
    await wellMade("the recovery codes");
    const [file] = await Promise.all([page.waitForEvent("download"), button(fr["recovery.download"]).click()]);
    const chunks = [];
    for await (const chunk of await file.createReadStream()) chunks.push(chunk);
    const sheet = Buffer.concat(chunks).toString("utf8");
    assert.ok(codes.every((code) => sheet.includes(code)) && sheet.includes("paul"));

    // The codes are not lost by a click, a step back or a closed tab.
    const leaving = page.getByRole("dialog", { name: fr["recovery.leaving"] });
    for (const go of [() => page.getByRole("link", { name: fr["nav.home"], exact: true }).click(), () => page.evaluate(() => history.back())]) {
      await go();
      await leaving.waitFor();
      await wellMade("the question before the codes are left");
      await button(fr["recovery.back"], leaving).click();
      await leaving.waitFor({ state: "detached" });
      assert.equal(new URL(page.url()).pathname, "/ui/account");
      assert.deepEqual(await list.getByRole("listitem").allInnerTexts(), codes);
    }
    const closes = () => page.evaluate(() => dispatchEvent(new Event("beforeunload", { cancelable: true })));
    assert.equal(await closes(), false, "the browser asks before the tab is closed");
    await button(fr["recovery.kept"]).click();
    await page.locator("#factor").getByText(fr["factor.on"], { exact: true }).waitFor();
    assert.equal(await closes(), true, "codes that are kept hold nobody back");
    await page.getByText(fr["recovery.left.other"].replace("{n}", codes.length).replace("{total}", codes.length)).waitFor();
  });

  test("signing in takes the code as well, and says when it is wrong", async () => {
    await leave();
    await giveName("paul", PAUL);
    await heading(fr["login.secondTitle"]).waitFor();
    await wellMade("the second step");
    const code = field(fr["code.label"]);
    assert.equal(await code.getAttribute("autocomplete"), "one-time-code");
    await code.fill(totp(secret, 40));
    await page.getByRole("alert").getByText(fr["fault.second_factor_wrong"]).waitFor();
    await nextStep();
    // Six figures are sent without a further word.
    await code.fill(totp(secret));
    await page.waitForURL((url) => url.pathname === "/ui/");
  });

  test("a recovery code opens once", async () => {
    await leave();
    await giveName("paul", PAUL);
    await button(fr["login.useRecovery"]).click();
    await field(fr["code.recovery"]).fill(codes[0]);
    await wellMade("the second step with a recovery code");
    await button(fr["login.enter"]).click();
    await page.waitForURL((url) => url.pathname === "/ui/");
    await leave();
    await giveName("paul", PAUL);
    await button(fr["login.useRecovery"]).click();
    await field(fr["code.recovery"]).fill(codes[0]);
    await button(fr["login.enter"]).click();
    await page.getByRole("alert").waitFor();
    await field(fr["code.recovery"]).fill(codes[1]);
    await button(fr["login.enter"]).click();
    await page.waitForURL((url) => url.pathname === "/ui/");
  });

  test("a deed that needs a fresh password asks for it, says when it is wrong, and goes on", async () => {
    await page.goto(`${box.url}/ui/account`);
    const renew = button(fr["recovery.renew"]);
    await renew.waitFor();
    // A session is fresh for minutes after signing in; the first refusal is therefore made up, all that follows is real.
    let refused = false;
    await page.route("**/totp/recovery/regenerate", (route) => {
      if (refused) return route.continue();
      refused = true;
      return route.fulfill({ status: 403, json: { error: "x", detail: "x", code: "step_up_required", request_id: "r" } });
    });
    const again = page.getByRole("dialog", { name: fr["stepUp.title"] });
    const ask = async () => {
      await renew.click();
      await button(fr["recovery.renew"], page.getByRole("dialog")).click();
      await again.waitFor();
    };
    await ask();
    await page.keyboard.press("Escape");
    await again.waitFor({ state: "detached" });
    await page.waitForFunction((name) => document.activeElement?.textContent?.trim() === name, fr["recovery.renew"]);
    assert.equal(await page.locator("#factor [role=alert], .notices .bad").count(), 0, "who closed the question is told nothing");

    refused = false;
    await ask();
    await field(fr["login.password"], again).fill("ce n’est pas le bon");
    await field(fr["code.label"], again).fill(totp(secret));
    await page.keyboard.press("Enter");
    await again.getByText(fr["fault.password_wrong"]).waitFor();
    await wellMade("the password again");
    await nextStep();
    await field(fr["login.password"], again).fill(PAUL);
    await field(fr["code.label"], again).fill(totp(secret));
    await page.keyboard.press("Enter");
    const list = page.getByRole("list", { name: fr["recovery.list"] });
    await list.waitFor();
    codes = await list.getByRole("listitem").allInnerTexts();
    assert.ok(codes.length >= 5);
    await button(fr["recovery.kept"]).click();
    await page.unroute("**/totp/recovery/regenerate");
  });

  test("a key of one's own opens for a program what it was given, until it is deleted", async () => {
    await page.goto(`${box.url}/ui/account`);
    await page.getByText(fr["apikey.empty"]).waitFor();
    await button(fr["apikey.new"]).click();
    const dialog = page.getByRole("dialog", { name: fr["apikey.new"] });
    await button(fr["apikey.make"], dialog).click();
    await dialog.getByText(fr["apikey.nameMissing"]).waitFor();
    await field(fr["apikey.name"], dialog).fill("Tableur du planning");
    await dialog.getByRole("checkbox").first().check();
    await wellMade("a new key");
    await button(fr["apikey.make"], dialog).click();
    const made = page.getByRole("dialog", { name: fr["apikey.madeTitle"] });
    const again = page.getByRole("dialog", { name: fr["stepUp.title"] });
    await Promise.race([made.waitFor(), again.waitFor()]);
    if (await again.isVisible()) {
      await wellMade("the password again");
      await field(fr["login.password"], again).fill(PAUL);
      await nextStep();
      await field(fr["code.label"], again).fill(totp(secret));
      await button(fr["stepUp.give"], again).click();
    }
    await made.waitFor();
    await page.keyboard.press("Escape");
    assert.ok(await made.isVisible(), "a stray key does not lose what is shown once");
    const key = await made.locator("output").first().innerText();
    await wellMade("the key, once");
    await button(fr["apikey.kept"], made).click();
    await page.getByText("Tableur du planning").waitFor();
    const open = () => fetch(`${box.url}/auth/me`, { headers: { "x-api-key": key } });
    const answer = await open();
    assert.equal(answer.status, 200);
    assert.equal((await answer.json()).username, "paul");
    await button(fr["apikey.deleteName"].replace("{name}", "Tableur du planning")).click();
    await button(fr["apikey.delete"], page.getByRole("dialog")).click();
    await page.getByText(fr["apikey.empty"]).waitFor();
    assert.equal((await open()).status, 401);
  });

  test("a session that ends elsewhere loses nothing that was typed", async () => {
    await page.goto(`${box.url}/ui/account`);
    const name = field(fr["setup.displayName"]);
    await name.fill("Paul Lenoir-Vidal");
    await ask("POST", "/admin/sessions/disconnect/paul");
    // Nothing is clicked: the page hears of it.
    await heading(fr["login.title"]).waitFor({ timeout: 3_000 });
    await page.getByText(fr["fault.session_ended"]).waitFor();
    assert.equal(new URL(page.url()).pathname, "/ui/account", "the place is kept");
    await wellMade("signing in again");
    assert.equal(await field(fr["login.username"]).inputValue(), "paul");
    await field(fr["login.password"]).fill(PAUL);
    await button(fr["login.enter"]).click();
    await button(fr["login.useRecovery"]).click();
    await field(fr["code.recovery"]).fill(codes[0]);
    await button(fr["login.enter"]).click();
    await name.waitFor();
    assert.equal(await name.inputValue(), "Paul Lenoir-Vidal", "what was typed is kept");
    await button(fr["account.save"]).click();
    await page.getByText(fr["account.saved"]).waitFor();
  });

  test("a box that restarts is called again in growing pauses, and nobody is told", async () => {
    const other = await context.newPage();
    await other.clock.install();
    let calls = 0;
    await other.routeWebSocket(/\/ws$/, (line) => {
      calls += 1;
      line.close({ code: 1001, reason: "shutdown" });
    });
    await other.goto(`${box.url}/ui/account`);
    const there = other.getByRole("heading", { name: fr["account.title"], exact: true });
    await there.waitFor();
    const after = async (ms, wanted) => {
      await other.clock.runFor(ms);
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.equal(calls, wanted);
    };
    await after(0, 1);
    // The pauses are 5 s, 10 s and so on, each up to a quarter longer; the page's clock also goes by itself.
    await after(4_000, 1);
    await after(2_500, 2);
    await after(6_000, 2);
    await after(7_000, 3);
    assert.ok(await there.isVisible());
    assert.equal(await other.locator(".notices .item").count(), 0);
    await other.close();
  });

  test("an invitation leads to an account, signed in, and works once", async () => {
    await leave();
    const { token } = await ask("POST", "/admin/invitations", { role: "viewer", email: "lea.roux@depot.example", display_name: "Léa Roux" });
    const address = `${box.url}/ui/invitation?token=${encodeURIComponent(token)}`;
    await page.goto(address);
    await heading(fr["invitation.welcome"]).waitFor();
    assert.ok(!page.url().includes("token"), "the secret stays in the address bar");
    await page.getByText(fr["invitation.why"].replace("{site}", SITE)).waitFor();
    await page.getByText("lea.roux@depot.example").waitFor();
    assert.equal(await field(fr["login.username"]).inputValue(), "lea.roux");
    await wellMade("the invitation");
    await field(fr["login.password"]).fill("court");
    await button(fr["invitation.enter"]).click();
    assert.equal(await field(fr["login.password"]).getAttribute("aria-invalid"), "true");
    await field(fr["login.username"]).fill("paul");
    await field(fr["login.password"]).fill("ardoise marmotte violette 53");
    await button(fr["invitation.enter"]).click();
    await page.getByText(fr["fault.user_exists"]).waitFor();
    await field(fr["login.username"]).fill("lea");
    await button(fr["invitation.enter"]).click();
    await page.waitForURL((url) => url.pathname === "/ui/");
    await page.goto(address);
    await page.getByText(fr["invitation.over"]).waitFor();
    await wellMade("an invitation that is over");
    await page.goto(`${box.url}/ui/`);
    await leave();
  });

  test("a role that asks for a second factor says why, before anything else", async () => {
    const roles = await ask("GET", "/admin/roles");
    const role = roles.find((one) => one.name === "finance");
    await ask("PUT", `/admin/roles/${role.id}`, { second_factor: true });
    const user = await ask("POST", "/admin/users", { username: "nadia", role: "finance", password: PAUL });
    assert.equal(user.username, "nadia");
    await page.goto(`${box.url}/ui/login`);
    await giveName("nadia", PAUL);
    await heading(fr["hold.factorTitle"]).or(heading(fr["hold.passwordTitle"])).waitFor();
    await page.getByText(fr["enrol.scanTitle"]).waitFor();
    await wellMade("the forced second factor");
    await page.getByText(fr["enrol.cannotScan"]).click();
    const own = (await page.locator("output").first().innerText()).replaceAll(/\s/g, "");
    await field(fr["code.label"]).fill(totp(own));
    await button(fr["enrol.activate"]).click();
    await button(fr["recovery.kept"]).click();
    await page.waitForURL((url) => url.pathname === "/ui/");
    await page.goto(`${box.url}/ui/account`);
    await page.getByText(fr["factor.required"]).waitFor();
    await leave();
  });

  test("who manages collections decides who reads one", async () => {
    await page.goto(`${box.url}/ui/login?next=%2Fui%2Fdocuments`);
    await giveName(ADMIN.username, ADMIN.password);
    await button(fr["readers.open"]).click();
    const dialog = page.getByRole("dialog");
    await button(fr["readers.new"], dialog).click();
    await field(fr["readers.name"], dialog).fill("Salaires");
    await dialog.getByRole("radio", { name: fr["readers.some"] }).check();
    await dialog.getByText(fr["readers.nobodyWarning"]).waitFor();
    await dialog.getByRole("checkbox").first().check();
    await wellMade("the readers of a collection");
    await button(fr["readers.make"], dialog).click();
    await dialog.getByText("Salaires").waitFor();
    await dialog.locator("li").filter({ hasText: "Salaires" }).getByText(fr["readers.closed"]).waitFor({ state: "attached" });
    const kept = (await ask("GET", "/rag/collections")).items.find((one) => one.name === "Salaires");
    assert.equal(kept.readers.everyone, false);
    assert.equal(kept.readers.roles.length, 1);
    await button(fr["readers.deleteName"].replace("{name}", "Salaires"), dialog).click();
    await page.getByRole("dialog").filter({ hasText: fr["readers.deleteBody"] }).getByRole("button", { name: fr["delete.action"] }).click();
    await page.getByText(fr["readers.none"]).waitFor();
    await button(fr.close, dialog).click();
  });

  test("signing in again in another tab costs one more click here", async () => {
    await page.goto(`${box.url}/ui/account`);
    const name = field(fr["setup.displayName"]);
    await name.fill("Claire M.");
    // The browser has one cookie for all its tabs, and this page holds the word of the session before.
    const answer = await page.evaluate(async (body) => {
      const { csrf_token: word } = await (await fetch("/auth/me")).json();
      const headers = { "content-type": "application/json", "x-csrf-token": word };
      return (await fetch("/auth/login", { method: "POST", headers, body: JSON.stringify(body) })).status;
    }, ADMIN);
    assert.equal(answer, 200);
    await button(fr["account.save"]).click();
    await page.getByText(fr["fault.csrf_invalid"]).waitFor();
    await button(fr["account.save"]).click();
    await page.getByText(fr["account.saved"]).waitFor();
  });

  test("the account fits 360 px and keeps its contrast in the dark", async () => {
    await page.goto(`${box.url}/ui/account`);
    await page.locator("header details > summary").click();
    await button(fr["switch.dark"]).first().click();
    await page.setViewportSize({ width: 360, height: 740 });
    for (const path of ["/ui/account", "/ui/invitation"]) {
      await page.goto(`${box.url}${path}`);
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
