// Routes the pages call ahead of the OpenAPI document; one that the document has is a build error here and leaves.
import type {} from "./schema";

interface Refused {
  [name: string]: never;
}
interface Json<Answer, Status extends number = 200> {
  responses: Record<Status, { headers: Refused; content: { "application/json": Answer } }>;
}
interface KeyMade {
  id: string;
  name: string;
  key: string;
  scopes: string[];
  created_at: string;
  expires_at?: string | null;
}
interface KeyKept {
  id: string;
  name: string;
  hint: string;
  kind: string;
  owner: string;
  created_at: string;
  expires_at?: string | null;
  last_used_at?: string | null;
  scopes: string[];
}

declare module "./schema" {
  interface paths {
    "/apikeys": {
      get: { parameters: { query?: { all?: boolean } } } & Json<{ keys: KeyKept[] }>;
      post: { requestBody: { content: { "application/json": { name: string; scopes: string[]; expires_in_days?: number; kind?: string } } } } & Json<KeyMade, 201>;
    };
    "/apikeys/{id}": { delete: { parameters: { path: { id: string } } } & Json<{ status: string }> };
    "/apikeys/scopes": { get: Json<{ items: { name: string; rights: string[] }[] }> };
  }
}
