// Routes of the journal that the administration calls ahead of the OpenAPI document; this file goes when the document has them.
import type {} from "./schema";

interface Refused {
  [name: string]: never;
}
interface Json<Answer, Status extends number = 200> {
  responses: Record<Status, { headers: Refused; content: { "application/json": Answer } }>;
}

interface Link {
  number: number;
  at: string;
  who: string;
  user: string | null;
  door: string;
  address: string | null;
  agent: string | null;
  session: string | null;
  request: string;
  deed: string;
  object: string;
  before?: unknown;
  after?: unknown;
  doubtful: boolean;
  action_type: string;
  entity_type: string;
}
interface Offence {
  number: number;
  wrong: string;
  deed: string | null;
  at: string | null;
}
interface Checkpoint {
  number: number;
  at: string;
}
interface Chain {
  links: number;
  ok: boolean | null;
  offence: Offence | null;
  last_checkpoint: Checkpoint | null;
  verified_at: string | null;
}
interface Verdict {
  ok: boolean;
  links: number;
  count: number;
  offences: Offence[];
  site: string;
  last_checkpoint: Checkpoint | null;
  fingerprint: string | null;
  exported_at: string | null;
}
interface JournalQuery {
  who?: string;
  deed?: string;
  object?: string;
  door?: string;
  address?: string;
  from?: string;
  to?: string;
  before_number?: number;
  limit?: number;
}

declare module "./schema" {
  interface paths {
    "/admin/journal": { get: { parameters: { query?: JournalQuery } } & Json<{ total: number; items: Link[]; chain: Chain }> };
    "/admin/audit-logs/verify": { get: Json<Verdict> };
  }
}
