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

declare module "./schema" {
  interface paths {
    "/admin/invitations": {
      get: Json<{ items: Invitation[] }>;
      post: Takes<{ role: string; email?: string; display_name?: string; expires_in_days?: number }> & Json<Invited, 201>;
    };
    "/admin/invitations/{id}": { delete: At<{ id: string }> & Json<unknown> };
    "/admin/users/{id}/totp/reset": { post: At<{ id: number }> & Json<unknown> };
  }
}
