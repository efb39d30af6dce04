// Who is signed in on this browser, and at which site.
import { least } from "./password";
import { answer, box, key } from "../api/client";
import { asFault, type Fault, isLoss } from "../api/fault";
import type { Login, Me, SetupState } from "../api/shapes";
import { colourOr } from "./site";
import { firstLanguage, language } from "../i18n/language.svelte";

class Session {
  /** False until the box has told who this is. */
  known = $state(false);
  me = $state.raw<Me | null>(null);
  setup = $state.raw<SetupState | null>(null);
  /** Why the box could not be asked. */
  fault = $state.raw<Fault | null>(null);
  /** Why the reader has to sign in again, by the box's code; null for who never did, or who left. */
  ended = $state<string | null>(null);
  /** Who was signed in last on this page: an open page waits for them alone. */
  owner = $state.raw<{ uuid: string; username: string } | null>(null);

  /** The reader is signing out. */
  leaving = $state(false);
  /** The reader has signed out on this page: questions still under way tell them nothing new by being refused. */
  private left = false;

  /** What has to be done before anything else. */
  get hold(): "change_password" | "enrol_second_factor" | null {
    const hold = this.me?.hold;
    return hold === "change_password" || hold === "enrol_second_factor" ? hold : null;
  }

  /** Whether the session ended under the reader's hands. */
  get away(): boolean {
    return this.me === null && this.ended !== null;
  }

  /** Signed in, and free to go where the rights allow. */
  get free(): boolean {
    return this.me !== null && this.hold === null;
  }

  get site(): string {
    return this.me?.site || this.setup?.site || "";
  }

  get colour(): string {
    return colourOr(this.me?.colour || this.setup?.colour);
  }

  /** Whether the reader may do this; a right the box does not speak of is left for the box to refuse. */
  may(right: string): boolean {
    return this.me?.is_system_admin === true || this.me?.permissions[right] !== false;
  }

  /** Asks the box who this is; called once at the start, and again after a lost connection. */
  async begin(): Promise<void> {
    this.fault = null;
    try {
      const [setup, me] = await Promise.all([answer(box.GET("/setup/state")), this.whoAmI()]);
      this.setup = setup;
      least.length = setup.password_min;
      this.take(me);
      key.csrf = me?.csrf_token ?? "";
      await language.use(firstLanguage(setup.needed ? null : (me?.language ?? setup.language)));
    } catch (caught) {
      this.fault = asFault(caught);
      if (!language.words) await language.use(firstLanguage(null));
    }
    this.known = true;
  }

  private async whoAmI(): Promise<Me | null> {
    try {
      return await answer(box.GET("/auth/me"));
    } catch (caught) {
      if (isLoss(asFault(caught))) return null;
      throw caught;
    }
  }

  /** A sign-in was answered: the rest is asked from the box, so that a reload shows the same. */
  async enter(login: Login): Promise<void> {
    key.csrf = login.csrf_token;
    const [setup, me] = await Promise.all([answer(box.GET("/setup/state")), answer(box.GET("/auth/me"))]);
    this.setup = setup;
    this.take(me);
    key.csrf = me.csrf_token || login.csrf_token;
  }

  /** Asks again who this is, after something about oneself has changed. */
  async refresh(): Promise<void> {
    const me = await answer(box.GET("/auth/me"));
    this.take(me);
    key.csrf = me.csrf_token || key.csrf;
  }

  private take(me: Me | null): void {
    this.me = me;
    if (me === null) return;
    this.ended = null;
    this.left = false;
    if (this.owner?.uuid !== me.uuid) this.owner = { uuid: me.uuid, username: me.username };
  }

  async leave(): Promise<void> {
    // The open line is closed first: it would tell the reader of the end that they ask for.
    this.leaving = true;
    try {
      await answer(box.POST("/auth/logout"));
      this.left = true;
    } catch (caught) {
      // A session that is over already is left.
      if (!isLoss(asFault(caught))) throw caught;
      this.left = true;
    } finally {
      this.leaving = false;
    }
    this.forget();
    this.ended = null;
    this.owner = null;
  }

  /** The password was given again. */
  freshened(until: string): void {
    if (this.me) this.me = { ...this.me, fresh_until: until };
  }

  /** The session ended elsewhere; who only never signed in has lost nothing. */
  lose(code: string): void {
    if (this.left || this.leaving) return;
    if (this.me !== null || code !== "unauthenticated") this.ended = code;
    this.forget();
  }

  private forget(): void {
    this.me = null;
    key.csrf = "";
  }
}

export const session = new Session();
key.lost = (code) => session.lose(code);
// Asked once: reading who one is needs neither a proof against cross-site requests nor that nothing is held.
key.stale = () => void session.refresh().catch(() => {});
