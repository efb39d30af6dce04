// Routes the administration calls ahead of the OpenAPI document; one that the document has is a build error here and leaves.
import type {} from "./schema";

interface Refused {
  [name: string]: never;
}
interface Json<Answer, Status extends number = 200> {
  responses: Record<Status, { headers: Refused; content: { "application/json": Answer } }>;
}
interface Takes<Body> {
  requestBody: { content: { "application/json": Body } };
}
interface At<Path> {
  parameters: { path: Path };
}
interface Invited {
  id: string;
  token: string;
  link: string;
  role: string;
  email: string;
  display_name: string;
  expires_at: string;
}
interface Invitation {
  id: string;
  role: string;
  email: string;
  display_name: string;
  created_by: string;
  created_at: string;
  expires_at: string;
  used_at: string | null;
  used_by: string | null;
}

interface ApiKey {
  id: string;
  name: string;
  hint: string;
  kind: string;
  owner: string;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  scopes: string[];
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
    "/admin/invitations": {
      get: Json<{ items: Invitation[] }>;
      post: Takes<{ role: string; email?: string; display_name?: string; expires_in_days?: number }> & Json<Invited, 201>;
    };
    "/admin/invitations/{id}": { delete: At<{ id: string }> & Json<unknown> };
    "/apikeys": { get: { parameters: { query?: { all?: boolean } } } & Json<{ keys: ApiKey[] }> };
    "/apikeys/{id}": { delete: At<{ id: string }> & Json<unknown> };
    "/apikeys/scopes": { get: Json<{ items: { name: string; rights: string[] }[] }> };
    "/admin/journal": { get: { parameters: { query?: JournalQuery } } & Json<{ total: number; items: Link[]; chain: Chain }> };
    "/admin/audit-logs/verify": { get: Json<Verdict> };
    "/admin/users/{id}/totp/reset": { post: At<{ id: number }> & Json<unknown> };
  }
}
