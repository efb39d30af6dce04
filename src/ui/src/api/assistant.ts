// What the pages ask of the assistant: answers, conversations, prompts, models, the history.
import { CSRF_HEADER, key, noticeLoss } from "./client";
import { asFault, Fault, faultFrom } from "./fault";
import { events, lines, type StreamEvent } from "./stream";

export type Origin = "person" | "grounded" | "extract" | "model" | "not_found";
export type Outcome = "whole" | "stopped" | "failed";

export interface Usage {
  prompt_tokens: number;
  reused_tokens: number;
  completion_tokens: number;
  prefill_ms: number;
  decode_ms: number;
}

export interface Conversation {
  id: string;
  title: string;
  collection?: string | null;
  created_at: string;
  updated_at: string;
  turns: number;
}

/** A passage that was read for an answer. */
export interface Source {
  number: number;
  document_id: string;
  collection?: string | null;
  title: string;
  path: string;
  heading: string[];
  text: string;
  score?: number;
  chunk_id: number;
  start: number;
  end: number;
  page?: number | null;
  /** Replaced, deleted, or closed to the reader: all of it but the number may be missing then. */
  gone?: boolean;
}

export interface Turn {
  id: string;
  ordinal: number;
  role: "user" | "assistant" | "system";
  text: string;
  /** Made of documents that are closed to the reader by now: it has no text then. */
  closed?: boolean;
  at: string;
  origin: Origin;
  outcome: Outcome;
  failure?: string | null;
  citations: Source[];
  model?: string | null;
  usage?: Usage | null;
  took_ms?: number | null;
  searched_for?: string | null;
  /** Sentences that no source bears out; known, as what follows, only where the answer was seen to be written. */
  unsupported?: number;
  /** Every passage that was read, in the order of their numbers. */
  read?: Source[];
}

export interface AnswerEnd {
  answer: string;
  origin: Origin;
  outcome: Outcome;
  failure?: string | null;
  citations: number[];
  unsupported?: number;
  conversation_id?: string | null;
  turn_id?: string | null;
  question_id?: string | null;
  model?: string | null;
  usage?: Usage | null;
  took_ms: number;
}

export interface Prompt {
  prompt: string;
  usage_count?: number;
  last_used?: string;
}

/** The memory a model needs for a context, bytes. */
export interface Needs {
  context_tokens: number;
  slots: number;
  /** Whether the box gives as much now; null where that is not known. */
  fits: boolean | null;
  total: number;
}

export interface Card {
  name?: string;
  title?: string | null;
  architecture: string;
  quantisation: string;
  parameters: number;
  file_bytes: number;
  context: number;
  layers: number;
  width: number;
  heads: number;
  kv_heads: number;
  head_size: number;
  vocabulary: number;
  has_template: boolean;
  licence?: string | null;
  source?: string | null;
  speed: string;
  /** Sentences for who chooses, in English; may be empty. */
  note: string;
  runnable: boolean;
}

export interface ModelItem {
  name: string;
  title?: string | null;
  purpose: string;
  state: string;
  in_use: boolean;
  card: Card | null;
  /** What it needs as the box is set; null where that is not known. */
  memory: Needs | null;
  /** The same at other contexts, one answer at a time. */
  memory_at: Needs[];
  files: { name: string; bytes: number; sha256: string }[];
  bytes: number;
  added_at?: string | null;
  added_by?: string | null;
}

export interface WriterStatus {
  engine: "local" | "openai";
  model?: string | null;
  loaded: boolean;
  running: number;
  waiting: number;
  context_tokens: number;
}

/** A model on its way in. */
export interface Adding {
  name: string;
  stage: "receiving" | "keeping" | "checking";
  done: number;
  total: number;
}

/** The server that writes for the box, as far as it is known. */
export interface Upstream {
  origin: string | null;
  has_key: boolean;
  trouble: string | null;
}

/** What became of a folder that was put there by hand. */
export interface Rescanned {
  name: string;
  outcome: "added" | "unchanged" | "damaged" | "refused";
  code: string | null;
  detail: string | null;
}

export interface Shelf {
  items: ModelItem[];
  adding: Adding[];
  engine: WriterStatus;
  upstream: Upstream;
  free_bytes?: number | null;
  memory_bytes?: number | null;
}

export interface HistoryEvent {
  id: number;
  type: string;
  payload: Record<string, unknown>;
  created_at: string;
  user: string;
  session_id?: string | null;
  plugin?: string | null;
}

/** An answer of then or of today; it has no words where what it cites is closed to the reader. */
export interface Replayed {
  answer: string | null;
  origin: Origin | null;
  citations: Partial<Source>[];
  model: string | null;
}

export interface Replay {
  event: HistoryEvent;
  question: string;
  old: Replayed;
  /** Nothing where there is no answer today; `failure` is the code of why. */
  new: Replayed | null;
  failure: string | null;
  same: boolean;
}

type Query = Record<string, string | number | boolean | null | undefined>;

/** Makes a call and gives the body of its good answer; anything else is thrown as a [`Fault`]. */
async function call<T>(method: string, path: string, { query = {}, body }: { query?: Query; body?: unknown } = {}): Promise<T> {
  const address = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== null && value !== "") address.searchParams.set(name, String(value));
  const headers: Record<string, string> = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (method !== "GET" && key.csrf) headers[CSRF_HEADER] = key.csrf;
  let got: Response;
  try {
    got = await fetch(address, { method, headers, credentials: "same-origin", ...(body !== undefined && { body: JSON.stringify(body) }) });
  } catch (caught) {
    throw asFault(caught);
  }
  const told = await got.json().catch(() => undefined);
  if (!got.ok || (told === undefined && got.status !== 204)) throw noticeLoss(faultFrom(got.status, (name) => got.headers.get(name), told));
  return told as T;
}

const one = (id: string) => `/chat/conversations/${encodeURIComponent(id)}`;

export const assistant = {
  conversations: (query: { q?: string; limit?: number; before?: string }) =>
    call<{ items: Conversation[]; more: boolean }>("GET", "/chat/conversations", { query }),
  begin: (body: { title?: string; collection?: string }) => call<Conversation>("POST", "/chat/conversations", { body }),
  change: (id: string, body: { title?: string; collection?: string | null }) => call<Conversation>("PATCH", one(id), { body }),
  remove: (id: string) => call<unknown>("DELETE", one(id)),
  messages: (id: string, query: { limit?: number; before_id?: string }) =>
    call<{ items: Turn[]; more: boolean }>("GET", `${one(id)}/messages`, { query }),

  prompts: (which: "recent" | "favorites", limit: number) => call<{ items: Prompt[] }>("GET", `/jobs/prompts/${which}`, { query: { limit } }),
  keepPrompt: (prompt: string, favorite: boolean) => call<unknown>("POST", "/jobs/prompts/save", { body: { prompt, favorite } }),
  dropPrompt: (prompt: string) => call<unknown>("DELETE", "/jobs/prompts", { body: { prompt } }),

  models: () => call<Shelf>("GET", "/models"),
  rescan: () => call<{ items: Rescanned[] }>("POST", "/models/rescan"),
  use: (name: string, purpose?: string) => call<unknown>("POST", `/models/${encodeURIComponent(name)}/use`, { body: purpose ? { purpose } : {} }),
  useNone: (purpose: string) => call<unknown>("POST", "/models/none/use", { body: { purpose } }),
  removeModel: (name: string) => call<unknown>("DELETE", `/models/${encodeURIComponent(name)}`),
  giveKey: (secret: string) => call<unknown>("PUT", "/models/upstream/key", { body: { key: secret } }),
  forgetKey: () => call<unknown>("DELETE", "/models/upstream/key"),

  history: (query: Query) => call<{ items: HistoryEvent[]; total: number }>("GET", "/history", { query }),
  clearHistory: (all: boolean) => call<unknown>("DELETE", "/history", { query: { all: all || undefined } }),
};

export interface Question {
  question: string;
  conversation_id?: string;
  collection?: string;
  regenerate?: boolean;
}

/** Asks, and tells the answer as it is written; `signal` takes the question back. */
export async function* ask(question: Question, signal: AbortSignal): AsyncGenerator<StreamEvent> {
  const headers: Record<string, string> = { accept: "text/event-stream", "content-type": "application/json" };
  if (key.csrf) headers[CSRF_HEADER] = key.csrf;
  let got: Response;
  try {
    got = await fetch("/rag/answer", { method: "POST", headers, credentials: "same-origin", body: JSON.stringify(question), signal });
  } catch (caught) {
    if (caught instanceof DOMException && caught.name === "AbortError") throw caught;
    throw asFault(caught);
  }
  if (!got.ok || !got.body) throw noticeLoss(faultFrom(got.status, (name) => got.headers.get(name), await got.json().catch(() => null)));
  yield* events(got.body);
}

/** Has answers of the history written again, and tells each pair as it comes; `signal` ends it. */
export async function* replay(ids: number[] | undefined, signal: AbortSignal): AsyncGenerator<Replay> {
  const headers: Record<string, string> = { accept: "application/x-ndjson", "content-type": "application/json" };
  if (key.csrf) headers[CSRF_HEADER] = key.csrf;
  let got: Response;
  try {
    got = await fetch("/history/replay", { method: "POST", headers, credentials: "same-origin", body: JSON.stringify(ids ? { ids } : {}), signal });
  } catch (caught) {
    if (caught instanceof DOMException && caught.name === "AbortError") throw caught;
    throw asFault(caught);
  }
  if (!got.ok || !got.body) throw noticeLoss(faultFrom(got.status, (name) => got.headers.get(name), await got.json().catch(() => null)));
  try {
    for await (const line of lines(got.body)) yield JSON.parse(line) as Replay;
  } catch (caught) {
    if (signal.aborted) throw caught;
    // The box says no more than that: a line that breaks has no place for a reason.
    throw new Fault("answer_broken", caught instanceof Error ? caught.message : "");
  }
}

/** What a model needs on its way in: its file, and where it is not in the file, its tokenizer. */
export interface ModelSending {
  done: Promise<unknown>;
  stop: () => void;
}

/** Sends a model; `progress` is told the part sent, from 0 to 1. */
export function sendModel(files: File[], progress: (part: number) => void): ModelSending {
  const request = new XMLHttpRequest();
  const done = new Promise<unknown>((resolve, reject) => {
    request.upload.onprogress = (event) => {
      if (event.lengthComputable && event.total > 0) progress(event.loaded / event.total);
    };
    request.onerror = () => reject(new Fault("unreachable", ""));
    request.onabort = () => reject(new Fault("stopped", ""));
    request.onload = () => {
      let body: unknown = null;
      try {
        body = JSON.parse(request.responseText);
      } catch {
        // Told below as an answer that cannot be read.
      }
      if (request.status >= 200 && request.status < 300 && body !== null) resolve(body);
      else reject(noticeLoss(faultFrom(request.status, (header) => request.getResponseHeader(header), body)));
    };
    const form = new FormData();
    // Fields go before files: what does not fit is refused before it is sent.
    form.append("bytes", String(files.reduce((sum, file) => sum + file.size, 0)));
    for (const file of files) form.append("file", file, file.name);
    request.open("POST", "/models");
    if (key.csrf) request.setRequestHeader(CSRF_HEADER, key.csrf);
    request.send(form);
  });
  return { done, stop: () => request.abort() };
}
