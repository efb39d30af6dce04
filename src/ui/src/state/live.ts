// The open line to the box: a session that ends elsewhere is over on this page at once, without a click.
import { asFault } from "../api/fault";
import { session } from "./session.svelte";

/** The box's own reasons to hang up: the session is over, or the cookie proves nobody. */
const OVER = 4001;
const REFUSED = 4002;
const FIRST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 60_000;

/** The box knows better than the line whether this browser is still signed in: another tab may have signed in anew. */
async function verify(): Promise<void> {
  await session.refresh().catch((caught: unknown) => {
    // A box that says "session over" and then nothing more has still said it; a refusal has been noticed already.
    if (asFault(caught).code === "unreachable") session.lose("session_ended");
  });
}

/** Hanging up on a line that is not there yet would be reported as an error. */
function hangUp(line: WebSocket): void {
  line.onclose = line.onmessage = null;
  if (line.readyState === WebSocket.CONNECTING) line.onopen = () => line.close();
  else line.close();
}

/** Listens until the answer is called; a box that restarts is called again in growing pauses, and nobody is told. */
export function listen(): () => void {
  let line: WebSocket | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pause = FIRST_PAUSE_MS;
  let over = false;

  function call() {
    clearTimeout(timer);
    timer = undefined;
    const address = new URL("/ws", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const mine = new WebSocket(address);
    line = mine;
    let known = false;
    mine.onmessage = ({ data }) => {
      if (known || typeof data !== "string") return;
      // Who is known is told their number; whose cookie is no longer good is greeted as a stranger.
      known = true;
      if (data.includes('"connected_users"')) pause = FIRST_PAUSE_MS;
      else {
        hangUp(mine);
        void ended();
      }
    };
    mine.onclose = ({ code }) => {
      line = null;
      if (code === OVER || code === REFUSED) void ended();
      else later();
    };
  }

  async function ended() {
    line = null;
    await verify();
    later();
  }

  /** A little apart from each other, so that a box that comes back is not called by all its pages at once. */
  function later() {
    if (over || timer !== undefined) return;
    timer = setTimeout(call, pause * (1 + Math.random() / 4));
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }

  /** The reader is back, or the network is: no need to wait for the pause to end. */
  function back() {
    if (!over && timer !== undefined && document.visibilityState === "visible") call();
  }

  addEventListener("online", back);
  document.addEventListener("visibilitychange", back);
  call();
  return () => {
    over = true;
    clearTimeout(timer);
    removeEventListener("online", back);
    document.removeEventListener("visibilitychange", back);
    if (line) hangUp(line);
  };
}
