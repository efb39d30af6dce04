// The conversations with the assistant: what was said, what is being written, and what is not sent yet. They outlive the
// page, so that an answer goes on while its source is looked at; who signs in next finds nothing of them.
import { type AnswerEnd, ask, assistant, type Conversation, type Source, type Turn } from "../api/assistant";
import { asFault, Fault } from "../api/fault";
import { t } from "../i18n/language.svelte";
import { guard } from "./guard";
import { session } from "./session.svelte";

/** How many turns are fetched at once. */
const PORTION = 100;
/** How many conversations are listed at once. */
const LISTED = 40;
/** After a stop the box needs a moment to put away what was written until then. */
const KEPT_MS = 600;

export type Stage = "sending" | "searching" | "waiting" | "reading" | "writing";

/** An answer on its way. */
export class Running {
  stage = $state<Stage>("sending");
  /** How many questions are before it in the queue. */
  position = $state<number | null>(null);
  sources = $state.raw<Source[]>([]);
  searchedFor = $state<string | null>(null);
  text = $state("");
  stopped = $state(false);
  private readonly line = new AbortController();
  private pending = "";
  private frame = 0;

  constructor(
    readonly question: string,
    /** Whether it takes the place of the last answer. */
    readonly again: boolean,
  ) {}

  get signal(): AbortSignal {
    return this.line.signal;
  }

  /** More text; words that come within one picture of the screen are shown together. */
  write(text: string): void {
    this.pending += text;
    this.frame ||= requestAnimationFrame(() => this.flush());
  }

  flush(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.text += this.pending;
    this.pending = "";
  }

  stop(): void {
    this.stopped = true;
    this.line.abort();
  }
}

export class Talk {
  id = $state<string | null>(null);
  title = $state("");
  collection = $state("");
  turns = $state.raw<Turn[]>([]);
  /** Whether there are turns before the first that is shown. */
  more = $state(false);
  loaded = $state(false);
  /** Why the turns could not be fetched. */
  fault = $state.raw<Fault | null>(null);
  running = $state.raw<Running | null>(null);
  /** A question that the box did not take. */
  refused = $state.raw<{ question: string; fault: Fault } | null>(null);
  draft = $state("");
  /** Counts the answers that came to their end while the page was open: told to who listens, once. */
  ended = $state(0);
  /** The collection that the box keeps for it; null while that is not known. */
  private kept: string | null = null;

  constructor(id: string | null) {
    this.id = id;
    this.loaded = id === null;
  }

  /** What the list of conversations tells of it; what the reader chose meanwhile stays. */
  learn(told: Conversation): void {
    this.title = told.title;
    if (this.kept !== null) return;
    this.kept = told.collection ?? "";
    this.collection ||= this.kept;
  }

  async load(): Promise<void> {
    if (this.id === null) return;
    try {
      const got = await assistant.messages(this.id, { limit: PORTION });
      this.turns = ordered(got.items);
      this.more = got.more;
      this.fault = null;
      this.loaded = true;
    } catch (caught) {
      this.fault = asFault(caught);
    }
  }

  /** Shows what was said before. */
  async earlier(): Promise<void> {
    const first = this.turns[0];
    if (this.id === null || !first) return;
    const got = await assistant.messages(this.id, { limit: PORTION, before_id: first.id });
    this.turns = [...ordered(got.items), ...this.turns];
    this.more = got.more;
  }

  /** Asks a question; with `again` its answer takes the place of the last one. */
  async ask(question: string, { again = false } = {}): Promise<void> {
    if (this.running || !question.trim()) return;
    const running = new Running(question, again);
    this.running = running;
    this.refused = null;
    let end: AnswerEnd | null = null;
    let fault: Fault | null = null;
    try {
      if (this.id === null) {
        const begun = await assistant.begin(this.collection ? { collection: this.collection } : {});
        this.id = begun.id;
        this.kept = this.collection;
        talks.began(this, begun);
      } else if (this.kept && !this.collection) {
        // A question without a collection asks the conversation's own, so that one is let go first.
        await assistant.change(this.id, { collection: "" });
      }
      this.kept = this.collection;
      const asked = { question, conversation_id: this.id, ...(this.collection && { collection: this.collection }), ...(again && { regenerate: true }) };
      for await (const { event, data } of ask(asked, running.signal)) {
        const told = (data ?? {}) as Record<string, unknown>;
        if (event === "status") {
          running.stage = told.state as Stage;
          running.position = typeof told.position === "number" ? told.position : null;
        } else if (event === "sources") {
          running.sources = (told.sources as Source[] | undefined) ?? [];
          running.searchedFor = (told.searched_for as string | undefined) ?? null;
        } else if (event === "token") {
          running.stage = "writing";
          running.write(String(told.text ?? ""));
        } else if (event === "end") end = told as unknown as AnswerEnd;
        else if (event === "error") fault = new Fault(String(told.code ?? ""), String(told.message ?? ""));
      }
      if (!end && !fault && !running.stopped) fault = new Fault("answer_broken", "");
    } catch (caught) {
      if (!running.stopped) fault = asFault(caught);
    }
    running.flush();
    this.close(running, end, fault);
    await this.settle(end, fault, running);
  }

  /** Puts what came into its place. */
  private close(running: Running, end: AnswerEnd | null, fault: Fault | null): void {
    this.running = null;
    // Nothing came at all: the question is given back to be sent again.
    if (fault && running.stage === "sending") {
      this.refused = { question: running.question, fault };
      if (!running.again && !this.draft.trim()) this.draft = running.question;
      return;
    }
    if (running.stopped && running.stage === "sending") {
      if (!running.again && !this.draft.trim()) this.draft = running.question;
      return;
    }
    const now = new Date().toISOString();
    const kept = running.again ? this.turns.slice(0, lastQuestion(this.turns) + 1) : this.turns;
    const ordinal = (kept.at(-1)?.ordinal ?? 0) + 1;
    const bare = { at: now, outcome: "whole" as const, citations: [] };
    const question: Turn[] = running.again && kept.length > 0 ? [] : [{ ...bare, id: end?.question_id ?? `q${now}`, ordinal, role: "user", text: running.question, origin: "person" }];
    const cited = new Set(end?.citations ?? []);
    const answer: Turn = {
      id: end?.turn_id ?? `a${now}`,
      ordinal: ordinal + question.length,
      role: "assistant",
      text: end?.answer ?? running.text,
      at: now,
      origin: end?.origin ?? "grounded",
      outcome: end?.outcome ?? (running.stopped ? "stopped" : "failed"),
      failure: end?.failure ?? fault?.code,
      unsupported: end?.unsupported,
      citations: running.sources.filter((source) => cited.has(source.number)),
      model: end?.model,
      usage: end?.usage,
      took_ms: end?.took_ms,
      searched_for: running.searchedFor,
      read: running.sources,
    };
    this.turns = [...kept, ...question, answer];
    this.ended += 1;
  }

  /** Learns what the box kept of it. */
  private async settle(end: AnswerEnd | null, fault: Fault | null, running: Running): Promise<void> {
    talks.touched(this);
    if (end) return;
    // A line that breaks may be a session that ended.
    if (fault && (fault.code === "answer_broken" || fault.code === "unreachable")) await session.refresh().catch(() => {});
    if (running.stage === "sending" || this.id === null || !session.me) return;
    await new Promise((resolve) => setTimeout(resolve, KEPT_MS));
    const shown = this.turns;
    try {
      const got = await assistant.messages(this.id, { limit: PORTION });
      const last = got.items.reduce<Turn | null>((max, turn) => (max === null || turn.ordinal > max.ordinal ? turn : max), null);
      // What the box has not put away yet stays as it was seen.
      if (this.turns !== shown || this.running || last?.role !== "assistant") return;
      const read = shown.at(-1)?.read;
      this.turns = ordered(got.items).map((turn) => (turn.id === last.id ? { ...turn, read } : turn));
      this.more = got.more;
    } catch {
      // It is told anew when the conversation is opened again.
    }
  }
}

/** Turns in the order in which they were said. */
function ordered(turns: readonly Turn[]): Turn[] {
  return [...turns].sort((a, b) => a.ordinal - b.ordinal);
}

function lastQuestion(turns: readonly Turn[]): number {
  return turns.findLastIndex((turn) => turn.role === "user");
}

/** A question with what was answered; nothing was where the box stopped in between. */
export interface Exchange {
  question: Turn | null;
  answer: Turn | null;
}

export function exchanges(turns: readonly Turn[]): Exchange[] {
  const out: Exchange[] = [];
  for (const turn of turns) {
    const open = out.at(-1);
    if (turn.role === "user") out.push({ question: turn, answer: null });
    else if (open && !open.answer) open.answer = turn;
    else out.push({ question: null, answer: turn });
  }
  return out;
}

class Talks {
  items = $state.raw<Conversation[] | null>(null);
  more = $state(false);
  q = $state("");
  fault = $state.raw<Fault | null>(null);
  /** The one that has no name yet. */
  fresh = $state.raw(new Talk(null));
  private open = $state.raw<Talk[]>([]);
  private owner: string | null = null;
  private turn = 0;

  /** The conversation of this name; nothing for a new one. */
  of(id: string | null): Talk {
    if (id === null) return this.fresh;
    const known = this.open.find((talk) => talk.id === id);
    if (known) return known;
    const talk = new Talk(id);
    this.open = [...this.open, talk];
    return talk;
  }

  /** Forgets everything where somebody else signed in. */
  enter(owner: string | null): void {
    if (this.owner !== null && owner !== this.owner) {
      for (const talk of [...this.open, this.fresh]) talk.running?.stop();
      this.open = [];
      this.fresh = new Talk(null);
      this.items = null;
      this.q = "";
    }
    this.owner = owner;
  }

  async list({ further = false } = {}): Promise<void> {
    const mine = ++this.turn;
    try {
      const before = further ? this.items?.at(-1)?.id : undefined;
      const got = await assistant.conversations({ q: this.q.trim(), limit: LISTED, before });
      if (mine !== this.turn) return;
      this.items = further ? [...(this.items ?? []), ...got.items] : got.items;
      this.more = got.more;
      this.fault = null;
    } catch (caught) {
      if (mine === this.turn) this.fault = asFault(caught);
    }
  }

  /** A new conversation has its name now. */
  began(talk: Talk, conversation: Conversation): void {
    this.open = [...this.open, talk];
    if (this.fresh === talk) this.fresh = new Talk(null);
    if (!this.q) this.items = [conversation, ...(this.items ?? [])];
  }

  /** Something was said in it: it goes to the top, with the name the box gave it. */
  touched(_talk: Talk): void {
    void this.list();
  }

  async rename(id: string, title: string): Promise<void> {
    const changed = await assistant.change(id, { title });
    this.items = (this.items ?? []).map((one) => (one.id === id ? { ...one, ...changed } : one));
  }

  async remove(id: string): Promise<void> {
    await assistant.remove(id);
    this.open.find((talk) => talk.id === id)?.running?.stop();
    this.open = this.open.filter((talk) => talk.id !== id);
    this.items = (this.items ?? []).filter((one) => one.id !== id);
  }

  /** What closing the pages would lose. */
  get held(): "running" | "draft" | null {
    const all = [...this.open, this.fresh];
    if (all.some((talk) => talk.running)) return "running";
    return all.some((talk) => talk.draft.trim()) ? "draft" : null;
  }
}

export const talks = new Talks();

$effect.root(() => {
  $effect(() => {
    const held = talks.held;
    if (held === null) return;
    return guard(
      () => ({ title: t(held === "running" ? "talk.leaveRunning" : "talk.leaveDraft"), body: [], action: t("guard.leave"), stay: t("guard.stay") }),
      { stays: true },
    );
  });
});
