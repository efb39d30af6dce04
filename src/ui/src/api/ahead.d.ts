// Routes the pages call ahead of the OpenAPI document; one that the document has is a build error here and leaves.
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

interface Page {
  parameters: { query?: { all?: boolean } };
}
interface User {
  id: number;
  username: string;
  role: string;
}
interface Recovery {
  recovery_codes: string[];
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
interface Readers {
  everyone: boolean;
  roles?: string[];
  users?: string[];
}
interface Shelf {
  id: string;
  name: string;
  documents: number;
  readers?: Readers;
}

declare module "./schema" {
  interface paths {
    "/auth/step-up": { post: Takes<{ password: string; code?: string }> & Json<{ status: string; fresh_until: string }> };
    "/auth/change-password": { post: Takes<{ current_password: string; new_password: string }> & Json<{ success: boolean; message: string }> };
    "/auth/register": {
      post: Takes<{ email?: string; username?: string; password: string; display_name?: string; invitation?: string }> & Json<User, 201>;
    };
    "/auth/invitations/{token}": {
      get: At<{ token: string }> & Json<{ site: string; role: string; email: string; display_name: string; expires_at: string }>;
    };
    "/totp/provision": { post: Json<{ secret: string; otpauth_uri: string; qr_svg: string; expires_at: string }> };
    "/totp/activate": { post: Takes<{ code: string }> & Json<Recovery & { success: boolean }> };
    "/totp/recovery/regenerate": { post: Json<Recovery> };
    "/totp/recovery/status": {
      get: Json<{ enabled: boolean; enrolled_at?: string | null; remaining: number; total: number; required: boolean }>;
    };
    "/totp/disable": { post: Json<{ success: boolean }> };
    "/apikeys": {
      get: Page & Json<{ keys: KeyKept[] }>;
      post: Takes<{ name: string; scopes: string[]; expires_in_days?: number; kind?: string }> & Json<KeyMade, 201>;
    };
    "/apikeys/{id}": { delete: At<{ id: string }> & Json<{ status: string }> };
    "/apikeys/scopes": { get: Json<{ items: { name: string; rights: string[] }[] }> };
    "/rag/collections/{name}": {
      put: At<{ name: string }> & Takes<{ readers: Readers }> & Json<Shelf>;
      delete: At<{ name: string }> & Json<{ status: string }>;
    };
  }
}
