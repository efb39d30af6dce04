// A drill seen from an open page: who answers at the box's address from one moment to the next, until the proof is there.
import { type Answering, continuity, type Drill, type DrillWish, whoAnswers } from "../api/continuity";

export type Step = "asked" | "stopped" | "planb" | "returning" | "proving" | "over" | "lost";

/** How often the address is asked: short enough to see the two seconds in which Plan B takes over. */
const ROUND_MS = 400;
/** The proof is written within this time after the main program is back. */
const PROOF_MS = 60_000;
/** After this time past its end a drill whose main program is still away needs a person. */
const RETURN_MS = 300_000;
/** The watchdog takes a wish up within this time. */
const TAKE_UP_MS = 30_000;

class Watch {
  id = $state<string | null>(null);
  seconds = $state(0);
  step = $state<Step>("asked");
  answering = $state<Answering>("main");
  /** Milliseconds by this browser's clock: when it was asked, when Plan B was first seen, when the main program was seen again. */
  askedAt = $state(0);
  stoppedAt = $state<number | null>(null);
  planbAt = $state<number | null>(null);
  mainAt = $state<number | null>(null);
  now = $state(0);
  proof = $state.raw<Drill | null>(null);
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** Whether one is being followed and has not come to its end. */
  get running(): boolean {
    return this.id !== null && this.step !== "over" && this.step !== "lost";
  }

  /** Whether the page's own questions would find no main program. */
  get away(): boolean {
    return this.running && this.step !== "asked" && this.step !== "proving";
  }

  /** Seconds until the main program is started again. */
  get left(): number {
    return this.planbAt === null ? this.seconds : Math.max(0, Math.ceil(this.seconds - (this.now - this.planbAt) / 1000));
  }

  /** Follows a drill that was asked for just now. */
  follow({ id, seconds }: Pick<DrillWish, "id" | "seconds">): void {
    if (this.id === id && this.step !== "lost") return;
    clearTimeout(this.timer);
    this.id = id;
    this.seconds = seconds;
    this.step = "asked";
    this.answering = "main";
    this.askedAt = this.now = Date.now();
    this.stoppedAt = this.planbAt = this.mainAt = null;
    this.proof = null;
    this.again();
  }

  /** Follows no longer; the proof stays known. */
  forget(): void {
    clearTimeout(this.timer);
    this.id = null;
    this.step = "asked";
  }

  private again(): void {
    this.timer = setTimeout(() => void this.round(), ROUND_MS);
  }

  private async round(): Promise<void> {
    const mine = this.id;
    this.answering = await whoAnswers();
    if (this.id !== mine) return;
    this.now = Date.now();
    await this.advance();
    if (this.id === mine && this.running) this.again();
  }

  private async advance(): Promise<void> {
    if (this.answering !== "main" && this.stoppedAt === null) this.stoppedAt = this.now;
    if (this.answering === "planb" && this.planbAt === null) this.planbAt = this.now;
    if (this.answering === "main") await this.withMain();
    else {
      this.mainAt = null;
      const due = (this.planbAt ?? this.stoppedAt ?? this.now) + this.seconds * 1000;
      if (this.now - due > RETURN_MS) this.step = "lost";
      else if (this.answering === "planb" && this.now < due) this.step = "planb";
      else this.step = this.planbAt === null ? "stopped" : "returning";
    }
  }

  /** The main program answers: before it was stopped, or after it came back. */
  private async withMain(): Promise<void> {
    // A short stop can fall between two rounds: then the proof alone tells of it.
    if (this.stoppedAt !== null) {
      this.mainAt ??= this.now;
      this.step = "proving";
    }
    try {
      const { items } = await continuity.drills();
      const found = items.find((one) => one.id === this.id);
      // A proof is written when there is nothing more to prove, however it ended.
      if (found) {
        this.proof = found;
        this.step = "over";
        return;
      }
      if (this.stoppedAt === null && this.now - this.askedAt > TAKE_UP_MS) {
        // It may have been held elsewhere or given up; the watchdog's history tells.
        const { drill } = await continuity.state();
        if (drill?.wish?.id !== this.id) this.step = "lost";
      }
    } catch {
      // It went away between two questions, or the reader has to sign in again; the next round asks anew.
    }
    if (this.mainAt !== null && this.now - this.mainAt > PROOF_MS) this.step = "lost";
  }
}

export const drill = new Watch();
