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

declare module "./schema" {
  interface paths {
    "/auth/step-up": { post: Takes<{ password: string; code?: string }> & Json<{ status: string; fresh_until: string }> };
  }
}
