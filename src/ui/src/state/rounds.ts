// Work done again and again while somebody looks at the page.

/** Runs `work` every `pause` milliseconds while the page is in view; returns how to stop. */
export function rounds(work: () => unknown, pause: number): () => void {
  const timer = setInterval(() => {
    if (!document.hidden) work();
  }, pause);
  return () => clearInterval(timer);
}

/** A `work` that runs at most once per `pause` milliseconds, however often it is asked for. */
export function atMost(work: () => unknown, pause: number): () => void {
  let timer: ReturnType<typeof setTimeout> | null = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      work();
    }, pause);
  };
}
