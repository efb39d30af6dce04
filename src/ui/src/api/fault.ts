// What the box says when it refuses: a stable code, a sentence, and the id under which its logs tell the rest.

/** One field of a form that the box did not accept. */
export interface FieldFault {
  type: string;
  loc: string[];
  msg: string;
}

/** Codes of faults that arise in the browser, where no answer came from the box. */
export type LocalCode = "unreachable" | "answer_unreadable" | "page_stale" | typeof STEP_UP_CANCELLED;
/** Who was asked for the password again and closed the question. */
export const STEP_UP_CANCELLED = "step_up_cancelled";

export class Fault extends Error {
  constructor(
    readonly code: string,
    readonly detail: string,
    readonly status = 0,
    readonly requestId = "",
    readonly fields: FieldFault[] = [],
    /** Seconds after which the same request may succeed. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail || code);
    this.name = "Fault";
  }

  /** The box's complaint about one field of a form, if it has one. */
  field(name: string): FieldFault | undefined {
    return this.fields.find((f) => f.loc.at(-1) === name);
  }
}

/** Reads a refusal from an answer's status, headers and body. */
export function faultFrom(status: number, header: (name: string) => string | null, body: unknown): Fault {
  const told = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const fields = Array.isArray(told.detail) ? (told.detail as FieldFault[]) : [];
  const sentence = typeof told.detail === "string" ? told.detail : told.error;
  const pause = Number(header("retry-after"));
  return new Fault(
    typeof told.code === "string" ? told.code : "answer_unreadable",
    typeof sentence === "string" ? sentence : (fields[0]?.msg ?? `HTTP ${status}`),
    status,
    typeof told.request_id === "string" ? told.request_id : (header("x-request-id") ?? ""),
    fields,
    Number.isFinite(pause) && pause > 0 ? pause : null,
  );
}

/** Whether a message would tell nothing new: the reader closed the question, or the sign-in says why it stands there. */
export function isQuiet(fault: Fault): boolean {
  return fault.code === STEP_UP_CANCELLED || isLoss(fault) || isHold(fault);
}

/** Whether the box itself failed, so that its log has to be read: a refusal says all there is to know. */
export function isTraced(fault: Fault): boolean {
  return fault.requestId !== "" && fault.status >= 500;
}

/** Refusals with 401 that are about what was just typed; all others mean the box no longer knows this browser. */
const TYPED = new Set(["bad_credentials", "second_factor_required", "second_factor_wrong"]);

/** Whether the session is gone. */
export function isLoss(fault: Fault): boolean {
  return fault.status === 401 && !TYPED.has(fault.code);
}

/** Refusals that mean something else has to be done before anything is allowed. */
const HELD = new Set(["password_change_required", "second_factor_enrolment_required"]);

/** Whether the reader has to choose a password or set up a second factor first. */
export function isHold(fault: Fault): boolean {
  return fault.status === 403 && HELD.has(fault.code);
}

/** Anything caught, as a fault. */
export function asFault(caught: unknown): Fault {
  if (caught instanceof Fault) return caught;
  if (caught instanceof TypeError) return new Fault("unreachable", caught.message);
  return new Fault("answer_unreadable", caught instanceof Error ? caught.message : String(caught));
}
