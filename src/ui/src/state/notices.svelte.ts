// Short messages that appear at the foot of the page and are read aloud.
import { asFault, type Fault, isQuiet } from "../api/fault";

export interface NoticeItem {
  id: number;
  text: string;
  fault: Fault | null;
}

/** Long enough to read a sentence twice. */
const SHOWN_MS = 6_000;

class Notices {
  items = $state.raw<NoticeItem[]>([]);
  private next = 1;

  say(text: string): void {
    const id = this.add({ text, fault: null });
    setTimeout(() => this.drop(id), SHOWN_MS);
  }

  /** A refusal stays until it is dismissed: its id may have to be copied. */
  refuse(caught: unknown): void {
    const fault = asFault(caught);
    if (!isQuiet(fault)) this.add({ text: "", fault });
  }

  drop(id: number): void {
    this.items = this.items.filter((item) => item.id !== id);
  }

  private add(item: Omit<NoticeItem, "id">): number {
    const id = this.next++;
    this.items = [...this.items, { id, ...item }];
    return id;
  }
}

export const notices = new Notices();
