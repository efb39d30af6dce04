// Files on their way into the box; the list outlives the page it was started from.
import { answer, box } from "../api/client";
import { asFault, type Fault } from "../api/fault";
import type { Doc } from "../api/shapes";
import { send } from "../api/upload";

export type Stage =
  | "waiting" | "sending" | "queued" | "reading" | "ready" | "failed" | "refused" | "duplicate" | "unchanged" | "stopped";

/** How many files are sent at once. */
const AT_ONCE = 3;
/** How many documents are asked after in one round. */
const WATCHED = 12;
const ROUND_MS = 1_000;
/** The pause after a round that found everything done: there is more to learn at once. */
const QUICK_ROUND_MS = 50;
/** What operating systems leave in folders and nobody wrote. */
const LITTER = /^(\.|~\$|Thumbs\.db$|desktop\.ini$)/i;

export class Upload {
  stage = $state<Stage>("waiting");
  /** The part sent, from 0 to 1. */
  part = $state(0);
  document = $state.raw<Doc | null>(null);
  replaced = $state(false);
  /** Whether sending again may end differently: the box never saw the whole file. */
  again = $state(false);
  fault = $state.raw<{ code: string; detail: string; requestId?: string } | null>(null);
  stop: () => void = () => {};

  constructor(
    readonly id: number,
    readonly file: File,
    readonly name: string,
    readonly collection: string,
  ) {}

  get over(): boolean {
    return !["waiting", "sending", "queued", "reading"].includes(this.stage);
  }
}

class Uploads {
  items = $state.raw<Upload[]>([]);
  /** Changes whenever a document changed, so that lists know to ask again. */
  beat = $state(0);
  private next = 1;
  private sending = 0;
  private timer: ReturnType<typeof setTimeout> | null = null;

  get busy(): boolean {
    return this.items.some((item) => !item.over);
  }

  /** True while leaving would lose something: what the box already holds is safe. */
  get unsent(): boolean {
    return this.items.some((item) => item.stage === "waiting" || item.stage === "sending");
  }

  /** Takes files up and tells how many there were. */
  add(files: { file: File; name: string }[], collection: string): number {
    const wanted = files.filter(({ name }) => !LITTER.test(name.split("/").at(-1) ?? name));
    this.items = [...this.items, ...wanted.map(({ file, name }) => new Upload(this.next++, file, name, collection))];
    this.fill();
    return wanted.length;
  }

  again(item: Upload): void {
    item.stage = "waiting";
    item.part = 0;
    item.again = false;
    item.fault = null;
    this.items = [...this.items];
    this.fill();
  }

  stop(): void {
    for (const item of this.items) {
      if (item.stage === "waiting") {
        item.stage = "stopped";
        item.again = true;
      } else if (item.stage === "sending") item.stop();
    }
  }

  clear(): void {
    this.items = this.items.filter((item) => !item.over);
  }

  private fill(): void {
    while (this.sending < AT_ONCE) {
      const item = this.items.find((one) => one.stage === "waiting");
      if (!item) return;
      this.sending += 1;
      void this.carry(item).finally(() => {
        this.sending -= 1;
        this.fill();
      });
    }
  }

  private async carry(item: Upload): Promise<void> {
    item.stage = "sending";
    const sending = send(item.file, item.name, item.collection, (part) => {
      item.part = part;
    });
    item.stop = sending.stop;
    try {
      const told = await sending.done;
      item.part = 1;
      item.document = told.document ?? null;
      item.replaced = told.outcome === "replaced";
      if (told.outcome === "refused") {
        item.stage = "refused";
        item.fault = told.fault ?? null;
      } else if (told.outcome === "duplicate" || told.outcome === "unchanged") {
        item.stage = told.outcome;
      } else {
        this.follow(item, told.document ?? null);
      }
      this.beat += 1;
      this.watch();
    } catch (caught) {
      const fault: Fault = asFault(caught);
      item.again = true;
      item.stage = fault.code === "stopped" ? "stopped" : "refused";
      item.fault = fault.code === "stopped" ? null : fault;
    }
  }

  private follow(item: Upload, document: Doc | null): void {
    if (document) item.document = document;
    const state = document?.state ?? "queued";
    item.stage = state === "ready" || state === "failed" || state === "reading" ? state : "queued";
    item.fault = document?.failure ?? null;
  }

  /** Asks after the documents that are still being read, until none is. */
  private watch(pause = ROUND_MS): void {
    if (this.timer !== null) return;
    const open = this.items.filter((item) => item.document && (item.stage === "queued" || item.stage === "reading"));
    if (open.length === 0) return;
    this.timer = setTimeout(async () => {
      // Documents are read in the order they came, so the first are the likeliest to be done.
      const asked = open.slice(0, WATCHED);
      await Promise.all(asked.map((item) => this.look(item)));
      this.timer = null;
      this.watch(asked.every((item) => item.over) ? QUICK_ROUND_MS : ROUND_MS);
    }, pause);
  }

  private async look(item: Upload): Promise<void> {
    const id = item.document?.id;
    if (!id) return;
    const before = item.stage;
    try {
      this.follow(item, await answer(box.GET("/rag/documents/{id}", { params: { path: { id } } })));
    } catch (caught) {
      const fault = asFault(caught);
      // Unreachable for a moment: the next round asks again. Gone: somebody deleted it meanwhile.
      if (fault.status === 404) item.stage = "stopped";
      else if (fault.status === 401) item.stage = "stopped";
    }
    if (item.stage !== before) this.beat += 1;
  }
}

export const uploads = new Uploads();

addEventListener("beforeunload", (event) => {
  if (uploads.unsent) event.preventDefault();
});
