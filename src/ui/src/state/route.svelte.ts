// Where the reader is: the address bar is the truth, the pages follow it.

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

/** Goes to an address inside the pages, such as `/ui/search?q=…`. */
export function go(address: string, { replace = false } = {}): void {
  const url = new URL(address, location.href);
  if (url.href === location.href) return;
  if (replace) history.replaceState(history.state, "", url);
  else history.pushState(null, "", url);
  route.url = url;
  if (!replace) scrollTo(0, 0);
}

addEventListener("popstate", () => {
  route.url = new URL(location.href);
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

/** The address of a document, at a place when one is given. */
export function documentAddress(id: string, place?: { start: number; end: number }, query?: string): string {
  const params = new URLSearchParams();
  if (place) {
    params.set("start", String(place.start));
    params.set("end", String(place.end));
  }
  if (query) params.set("q", query);
  const tail = params.size > 0 ? `?${params}` : "";
  return `${BASE}/documents/${encodeURIComponent(id)}${tail}`;
}
