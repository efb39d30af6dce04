// The nouns the pages speak of, taken from the box's own OpenAPI document: a changed route breaks the build.
import type { FetchResponse } from "openapi-fetch";
import type { paths } from "./schema";

/** What an operation answers when it succeeds, exactly as the client hands it out. */
export type Success<Operation extends Record<string | number, any>> = NonNullable<
  FetchResponse<Operation, object, `${string}/${string}`>["data"]
>;

/** Where other devices find the box is told only by boxes that listen on the network. */
export type SetupState = Success<paths["/setup/state"]["get"]> & { https_addresses?: string[] };
export type LoginBody = NonNullable<paths["/auth/login"]["post"]["requestBody"]>["content"]["application/json"];
export type Login = Success<paths["/auth/login"]["post"]>;
export type Me = Success<paths["/auth/me"]["get"]>;
export type DocumentPage = Success<paths["/rag/documents"]["get"]>;
export type Doc = DocumentPage["items"][number];
export type Counts = DocumentPage["counts"];
export type UploadAnswer = Success<paths["/rag/documents"]["post"]>;
export type UploadItem = UploadAnswer["items"][number];
export type TextWindow = Success<paths["/rag/documents/{id}/text"]["get"]>;
export type Heading = TextWindow["headings"][number];
export type Collection = Success<paths["/rag/collections"]["get"]>["items"][number];
export type Readers = NonNullable<Collection["readers"]>;
export type Found = Success<paths["/rag/query"]["post"]>;
export type Hit = Found["results"][number];
export type RagStatus = Success<paths["/rag/status"]["get"]>;
export type HealthDetail = Success<paths["/health/detail"]["get"]>;
export type PartReport = HealthDetail["parts"][string];
export type Session = Success<paths["/sessions"]["get"]>["sessions"][number];
export type Provision = Success<paths["/totp/provision"]["post"]>;
export type FactorStatus = Success<paths["/totp/recovery/status"]["get"]>;
export type ApiKey = Success<paths["/apikeys"]["get"]>["keys"][number];
export type NewApiKey = Success<paths["/apikeys"]["post"]>;
export type Scope = Success<paths["/apikeys/scopes"]["get"]>["items"][number];
export type Invitation = Success<paths["/auth/invitations/{token}"]["get"]>;
