// Reads a stream of server-sent events from the body of an answer: `fetch` can send a proof and a body, `EventSource` cannot.

export interface StreamEvent {
  event: string;
  data: unknown;
}

/** Takes whole events from the front of `text`; the rest waits for more. */
export function cut(text: string): { events: { event: string; data: string }[]; rest: string } {
  const events: { event: string; data: string }[] = [];
  const parts = text.replaceAll("\r\n", "\n").split("\n\n");
  const rest = parts.pop() ?? "";
  for (const part of parts) {
    let event = "message";
    const data: string[] = [];
    for (const line of part.split("\n")) {
      // A line that begins with a colon only says that the line is still open.
      const at = line.indexOf(":");
      const name = at < 0 ? line : line.slice(0, at);
      const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
      if (name === "event") event = value;
      else if (name === "data") data.push(value);
    }
    if (data.length > 0) events.push({ event, data: data.join("\n") });
  }
  return { events, rest };
}

/** The text of a body as it comes, in whole characters; what breaks the line is thrown as it is. */
async function* texts(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}

/** The events of a body as they come. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
  let waiting = "";
  for await (const text of texts(body)) {
    const got = cut(waiting + text);
    waiting = got.rest;
    for (const { event, data } of got.events) {
      let told: unknown = null;
      try {
        told = JSON.parse(data);
      } catch {
        continue;
      }
      yield { event, data: told };
    }
  }
}

/** The lines of a body as they come, empty ones left out. */
export async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let waiting = "";
  for await (const text of texts(body)) {
    const parts = (waiting + text).split("\n");
    waiting = parts.pop() ?? "";
    for (const line of parts) if (line.trim()) yield line;
  }
  if (waiting.trim()) yield waiting;
}
