// The nouns of the administration, taken from the box's own OpenAPI document.
import type { paths } from "./schema";
import type { Success } from "./shapes";

/** What the newest boxes add; an older one leaves it out. */
interface Proofs {
  second_factor?: boolean;
  language?: string;
}
export type User = Success<paths["/admin/users"]["get"]>[number] & Proofs;
export type Role = Success<paths["/admin/roles"]["get"]>[number];
export type Grant = Success<paths["/admin/users/{id}/grants"]["get"]>["items"][number];
export type OpenSession = Success<paths["/admin/sessions"]["get"]>[number];
export type Invitation = Success<paths["/admin/invitations"]["get"]>["items"][number];
export type Invited = Success<paths["/admin/invitations"]["post"]>;
export type ApiKey = Success<paths["/apikeys"]["get"]>["keys"][number];
export type JournalPage = Success<paths["/admin/journal"]["get"]>;
export type Link = JournalPage["items"][number];
export type Chain = JournalPage["chain"];
export type JournalQuery = NonNullable<paths["/admin/journal"]["get"]["parameters"]["query"]>;
