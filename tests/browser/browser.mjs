// What every browser test leans on: the browser, the box it visits, the words of the pages, and what must never happen.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(new URL("../../src/ui/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const ts = require("typescript");

/** The box under test; `run.sh` starts one and sets both. */
export const BOX = process.env.ILOT_URL?.replace(/\/$/, "");
export const SETUP_LINK = process.env.ILOT_SETUP_LINK;
export const SKIP = BOX && SETUP_LINK ? false : "ILOT_URL and ILOT_SETUP_LINK are not set; tests/browser/run.sh sets them";

/** A box opens its doors within this time, on a slow machine too. */
const OPENS_WITHIN_MS = 30_000;
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** One file of the pages' source that imports nothing, as a module. */
export async function source(path) {
  const text = await readFile(new URL(`../../src/ui/src/${path}`, import.meta.url), "utf8");
  const { outputText } = ts.transpileModule(text, { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } });
  return import(`data:text/javascript,${encodeURIComponent(outputText)}`);
}

/** The sentences of one language, read from the pages' own source. */
export async function words(code) {
  const files = [`i18n/${code}.ts`, "i18n/account.ts", `i18n/admin.${code}.ts`, `i18n/assistant.${code}.ts`, `i18n/continuity.${code}.ts`];
  return Object.assign({}, ...(await Promise.all(files.map(async (file) => (await source(file))[code]))));
}

/**
 * A browser and a page, and a record of everything the page must not do. The browser itself reports every answer that is
 * no success; `refusals` says which are the right ones here. Signed out, 401 is.
 */
export async function open(options = {}, { box = BOX, refusals = [401] } = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.ILOT_CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
  });
  const context = await browser.newContext({ locale: "fr-FR", viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(10_000);
  const misdeeds = [];
  const origin = new URL(box).origin;
  context.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith(`blob:${origin}/`)) misdeeds.push(`asked elsewhere: ${url}`);
  });
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
    });
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => misdeeds.push(`uncaught: ${error.stack ?? error}`));
  page.on("console", (message) => {
    const status = /Failed to load resource.*\b(\d{3})\b/.exec(message.text())?.[1];
    const expected = status !== undefined && refusals.includes(Number(status));
    if (["error", "warning"].includes(message.type()) && !expected) misdeeds.push(`console: ${message.text()}`);
  });
  return { browser, context, page, misdeeds };
}

/**
 * A box of one's own in an empty folder, for tests that would disturb the shared one; `stop` ends it. With `bare` it has
 * an empty folder for its models as well.
 */
export async function startBox({ bare = false } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "ilot-browser-"));
  const models = join(folder, "models");
  if (bare) await mkdir(models);
  const door = ["--http", "127.0.0.1:0", "--https", "off", "--planb", "off"];
  const child = spawn(process.env.ILOT_BIN, ["serve", "--data", folder, ...door, ...(bare ? ["--models", models] : [])], { stdio: "ignore" });
  let over = false;
  const gone = new Promise((resolve) => child.once("exit", resolve)).then(() => (over = true));
  const stop = async () => {
    child.kill();
    await gone;
    await rm(folder, { recursive: true, force: true });
  };
  const told = async (name) => (await readFile(join(folder, "run", name), "utf8").catch(() => "")).trim();
  for (let waited = 0; waited < OPENS_WITHIN_MS && !over; waited += 100) {
    const [addresses, link] = [await told("addresses.json"), await told("setup-link")];
    if (addresses && link) {
      const { http } = JSON.parse(addresses);
      return { url: `http://${[http].flat()[0]}`, token: new URL(link).searchParams.get("token"), stop };
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await stop();
  throw new Error("the box did not open");
}

/** A port that nobody listens on at the moment. */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/**
 * A folder with addresses of its own that programs take turns at: `begin("watchdog")`, and after `end()` `begin("planb")`.
 * Both names lead to the same `url`, as they do at a site; `planb` is Plan B's own address.
 */
export async function watchedFolder() {
  const folder = await mkdtemp(join(tmpdir(), "ilot-browser-"));
  const [http, planb] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const url = `http://${http}`;
  let gone = null;
  let child = null;
  const told = async (...path) => (await readFile(join(folder, ...path), "utf8").catch(() => "")).trim();
  const answers = (address) => fetch(`${address}/health`).then((got) => got.ok, () => false);
  async function end() {
    child?.kill();
    await gone;
    child = null;
  }
  /** Starts a program of the box here, and waits until what is `up` says so. */
  async function begin(verb, up = () => answers(url)) {
    child = spawn(process.env.ILOT_BIN, [verb, "--data", folder, "--http", http, "--https", "off", "--planb", planb], { stdio: "ignore" });
    gone = new Promise((resolve) => child.once("exit", resolve));
    for (let waited = 0; waited < OPENS_WITHIN_MS && child.exitCode === null; waited += 100) {
      if (await up()) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await end();
    throw new Error(`ilot ${verb} did not open`);
  }
  return {
    url,
    planb: `http://${planb}`,
    begin,
    end,
    told,
    token: async () => new URL(await told("run", "setup-link")).searchParams.get("token"),
    async stop() {
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What axe finds that keeps people out. */
export async function barriers(page) {
  const source = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");
  await page.evaluate(source);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help}\n    ${nodes.map((node) => node.html.slice(0, 160)).join("\n    ")}`);
}
