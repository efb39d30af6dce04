// How the pages are built: under /ui/, nothing inlined (the box allows no data: and no inline script), packed beside.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

const PACKED = /\.(js|css|html|svg)$/;
/** Below this many bytes packing gains nothing. */
const WORTH_PACKING = 512;

/** Writes `NAME.gz` beside every text file, so that the box never spends time packing them. */
function packed(): Plugin {
  let folder = "dist";
  return {
    name: "packed",
    apply: "build",
    configResolved(config) {
      folder = config.build.outDir;
    },
    async closeBundle() {
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (!entry.isFile() || !PACKED.test(entry.name)) continue;
        const bytes = await readFile(path);
        if (bytes.length < WORTH_PACKING) continue;
        await writeFile(`${path}.gz`, await promisify(gzip)(bytes, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  base: "/ui/",
  plugins: [svelte(), packed()],
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: {
    // `npm run dev` beside a running box: the pages are Vite's, the data the box's.
    proxy: Object.fromEntries(
      ["/setup/", "/auth", "/rag", "/chat", "/models", "/history", "/jobs", "/admin", "/apikeys", "/continuity", "/health", "^/setup$"].map((path) => [
        path,
        { target: process.env.ILOT_URL ?? "http://127.0.0.1:8000" },
      ]),
    ),
  },
});
