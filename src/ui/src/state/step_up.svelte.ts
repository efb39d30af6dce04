// The password again, where a deed needs a fresh one: asked for once, then the deed is repeated.
import { answer, box } from "../api/client";
import { asFault, Fault, STEP_UP_CANCELLED } from "../api/fault";
import { session } from "./session.svelte";

class StepUp {
  /** Whether the question is on the page. */
  asked = $state(false);
  private waiting: Promise<void> | null = null;
  private settle: { good: () => void; bad: (fault: Fault) => void } | null = null;

  /** Deeds that are refused at the same moment share one question. */
  ask(): Promise<void> {
    this.waiting ??= new Promise<void>((good, bad) => {
      this.settle = { good, bad };
      this.asked = true;
    }).finally(() => {
      this.waiting = null;
      this.settle = null;
      this.asked = false;
    });
    return this.waiting;
  }

  /** Gives the password, and the code of a second factor if there is one; what is wrong with them is thrown. */
  async give(password: string, code: string): Promise<void> {
    const body = code ? { password, code } : { password };
    const given = await answer(box.POST("/auth/step-up", { body }));
    session.freshened(given.fresh_until);
    this.settle?.good();
  }

  cancel(): void {
    this.settle?.bad(new Fault(STEP_UP_CANCELLED, "The password was not given."));
  }
}

export const stepUp = new StepUp();

/**
 * Makes a call; where the box wants the password again first, asks for it and makes the call once more.
 * Who closes the question gets a fault that `notices.refuse` and `FaultNote` keep quiet about (`isQuiet`).
 */
export async function withStepUp<T>(call: () => Promise<T>): Promise<T> {
  const before = document.activeElement;
  try {
    return await call();
  } catch (caught) {
    if (asFault(caught).code !== "step_up_required") throw caught;
  }
  try {
    await stepUp.ask();
    return await call();
  } finally {
    // The button that was pressed is asleep while its deed runs; once it is awake it has the focus again.
    setTimeout(() => {
      const lost = document.activeElement === null || document.activeElement === document.body;
      if (lost && before instanceof HTMLElement && before.isConnected) before.focus();
    });
  }
}
