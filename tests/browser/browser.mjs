// What every browser test leans on: the browser, the box it visits, the words of the pages, and what must never happen.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../src/ui/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const ts = require("typescript");

/** The box under test; `run.sh` starts one and sets both. */
export const BOX = process.env.ILOT_URL?.replace(/\/$/, "");
export const SETUP_LINK = process.env.ILOT_SETUP_LINK;
export const SKIP = BOX && SETUP_LINK ? false : "ILOT_URL and ILOT_SETUP_LINK are not set; tests/browser/run.sh sets them";

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
  const files = [`i18n/${code}.ts`, "i18n/account.ts", `i18n/admin.${code}.ts`];
  return Object.assign({}, ...(await Promise.all(files.map(async (file) => (await source(file))[code]))));
}

/** A browser and a page, and a record of everything the page must not do. */
export async function open(options = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.ILOT_CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
  });
  const context = await browser.newContext({ locale: "fr-FR", viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(10_000);
  const misdeeds = [];
  const origin = new URL(BOX).origin;
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
    // The browser itself reports every 401; signed out, that is the right answer.
    const expected = /Failed to load resource.*\b401\b/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !expected) misdeeds.push(`console: ${message.text()}`);
  });
  return { browser, context, page, misdeeds };
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
