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

interface User {
  id: number;
  username: string;
  role: string;
}
interface Recovery {
  recovery_codes: string[];
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
  }
}
