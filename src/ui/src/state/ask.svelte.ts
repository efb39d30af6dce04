// One question at a time, asked before anything is destroyed.

export interface Question {
  title: string;
  /** What will be lost and what will not. */
  body: string[];
  /** What will be done, one line each, where that is more than a sentence. */
  plan?: string[];
  /** The deed, as a verb: it is what the button says. */
  action: string;
  /** What the safe answer says, where that is more than "cancel". */
  stay?: string;
  danger?: boolean;
}

class Asker {
  question = $state.raw<Question | null>(null);
  private settle: (yes: boolean) => void = () => {};

  ask(question: Question): Promise<boolean> {
    this.settle(false);
    this.question = question;
    return new Promise((resolve) => {
      this.settle = resolve;
    });
  }

  reply(yes: boolean): void {
    this.question = null;
    this.settle(yes);
    this.settle = () => {};
  }
}

export const asker = new Asker();
