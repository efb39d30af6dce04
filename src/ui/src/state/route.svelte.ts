// Where the reader is: the address bar is the truth, the pages follow it.
import { guarded, mayLeave } from "./guard";

export const BASE = "/ui";

class Route {
  url = $state.raw(new URL(location.href));

  get path(): string {
    return this.url.pathname.replace(/\/+$/, "") || BASE;
  }

  get query(): URLSearchParams {
    return this.url.searchParams;
  }
}

export const route = new Route();

/** Each entry of the browser's history knows its place, so that a step back can be taken back. */
interface Entry {
  place: number;
}
const placeOf = (state: unknown): number | undefined => (state as Entry | null)?.place;
let place = placeOf(history.state) ?? 0;
if (placeOf(history.state) === undefined) history.replaceState({ place } satisfies Entry, "");

/** A filter or a place in the page is no leave-taking. */
function leaves(url: URL): boolean {
  return guarded() && url.pathname !== route.url.pathname;
}

/**
 * Goes to an address inside the pages, such as `/ui/search?q=…`. Where something would be lost the reader is asked
 * before, unless the page itself goes on: with `replace`, or when it is `sure`.
 */
export function go(address: string, { replace = false, sure = replace }: { replace?: boolean; sure?: boolean } = {}): void {
  const url = new URL(address, location.href);
  if (url.href === location.href) return;
  if (!sure && leaves(url)) {
    void mayLeave().then((yes) => yes && go(address, { replace, sure: true }));
    return;
  }
  if (replace) history.replaceState(history.state, "", url);
  else history.pushState({ place: ++place } satisfies Entry, "", url);
  route.url = url;
  if (!replace) scrollTo(0, 0);
}

/** Steps that this file takes itself through the history, and that nobody is asked about. */
let own: "back" | "on" | null = null;

addEventListener("popstate", (event) => {
  const mine = own;
  own = null;
  if (mine === "back") return;
  const url = new URL(location.href);
  const to = placeOf(event.state);
  if (to === undefined) {
    // The browser made this entry itself, for a place in the page.
    history.replaceState({ place: ++place } satisfies Entry, "");
  } else {
    const steps = to - place;
    if (mine === null && steps !== 0 && leaves(url)) {
      // The browser has gone already: back to where the reader was, and then the question.
      own = "back";
      history.go(-steps);
      void mayLeave().then((yes) => {
        if (!yes) return;
        own = "on";
        history.go(steps);
      });
      return;
    }
    place = to;
  }
  route.url = url;
});

/** Lets plain links work without loading the page again; anything unusual is left to the browser. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link?.href || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !`${url.pathname}/`.startsWith(`${BASE}/`)) return;
  if (url.pathname === location.pathname && url.search === location.search && url.hash) return;
  event.preventDefault();
  go(url.href);
}

/** The address of the assistant, at a conversation when one is given. */
export function assistantAddress(conversation?: string | null): string {
  return conversation ? `${BASE}/assistant/${encodeURIComponent(conversation)}` : `${BASE}/assistant`;
}

/** The address of a document, at a place when one is given; it leads back to where it was found. */
export function documentAddress(id: string, place?: { start: number; end: number }, query?: string, conversation?: string): string {
  const params = new URLSearchParams();
  if (place) {
    params.set("start", String(place.start));
    params.set("end", String(place.end));
  }
  if (query) params.set("q", query);
  if (conversation) params.set("c", conversation);
  const tail = params.size > 0 ? `?${params}` : "";
  return `${BASE}/documents/${encodeURIComponent(id)}${tail}`;
}
