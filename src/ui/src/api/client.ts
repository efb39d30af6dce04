// The one door through which the pages speak to their box.
import createClient, { type Middleware } from "openapi-fetch";
import { asFault, Fault, faultFrom, isHold, isLoss } from "./fault";
import type { paths } from "./schema";

/** What every request needs to know of the session; `session.svelte.ts` keeps it current. */
export const key = {
  csrf: "",
  /** Called when the box no longer knows this browser. */
  lost: (_code: string): void => {},
  /** Called when what is known of the session is no longer so: something else has to be done first, or another tab signed in. */
  stale: (): void => {},
};

const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);
export const CSRF_HEADER = "X-CSRF-Token";

const proof: Middleware = {
  onRequest({ request }) {
    if (!SAFE.has(request.method) && key.csrf) request.headers.set(CSRF_HEADER, key.csrf);
    return request;
  },
};

export const box = createClient<paths>({ baseUrl: location.origin, credentials: "same-origin" });
box.use(proof);

/** Tells the session what a fault means for it. */
export function noticeLoss(fault: Fault): Fault {
  if (isLoss(fault)) key.lost(fault.code);
  if (isHold(fault) || fault.code === "csrf_invalid") key.stale();
  return fault;
}

/** The body of a good answer; anything else is thrown as a [`Fault`]. */
export async function answer<T>(sent: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let got: { data?: T; error?: unknown; response: Response };
  try {
    got = await sent;
  } catch (caught) {
    if (caught instanceof DOMException && caught.name === "AbortError") throw caught;
    throw asFault(caught);
  }
  const { data, error, response } = got;
  if (!response.ok || data === undefined) {
    throw noticeLoss(faultFrom(response.status, (name) => response.headers.get(name), error));
  }
  return data;
}
