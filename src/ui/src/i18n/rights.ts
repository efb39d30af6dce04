// The rights and the first roles of a box in the reader's words; a right or role a site added keeps its own name.
import { type Code, language } from "./language.svelte";

type Said = Record<Code, string>;
interface Group {
  name: string;
  title: Said;
  /** Each right by its name on the wire, as one would end the sentence "may …". */
  rights: Record<string, Said>;
}

/** Every right, in the groups in which pages show them. The first three groups are the seventeen of TomatoPlan. */
const GROUPS: Group[] = [
  {
    name: "planning",
    title: { fr: "Planning", en: "Planning" },
    rights: {
      view_planning: { fr: "Voir les missions et les voyages", en: "See missions and trips" },
      edit_planning: { fr: "Créer et modifier les missions", en: "Create and change missions" },
      manage_voyages: { fr: "Créer et modifier les voyages", en: "Create and change trips" },
      generate_planning: { fr: "Remplir une journée à partir des voyages", en: "Fill a day from the trips" },
      edit_past_planning: { fr: "Modifier les missions passées", en: "Change missions of the past" },
      edit_past_planning_advanced: { fr: "Modifier les missions des périodes closes", en: "Change missions of closed periods" },
      view_drivers: { fr: "Voir les chauffeurs", en: "See drivers" },
      manage_drivers: { fr: "Ajouter et modifier les chauffeurs", en: "Add and change drivers" },
      edit_driver_planning: { fr: "Noter les absences des chauffeurs", en: "Enter drivers’ absences" },
    },
  },
  {
    name: "money",
    title: { fr: "Finances et statistiques", en: "Money and statistics" },
    rights: {
      view_finance: { fr: "Voir les sous-traitants et les montants", en: "See subcontractors and amounts" },
      manage_finance: { fr: "Modifier les sous-traitants et les montants", en: "Change subcontractors and amounts" },
      view_analyse: { fr: "Voir les statistiques", en: "See the statistics" },
    },
  },
  {
    name: "administration",
    title: { fr: "Administration", en: "Administration" },
    rights: {
      manage_rights: { fr: "Gérer les comptes, les rôles et les sessions", en: "Manage accounts, roles and sessions" },
      admin_access: { fr: "Changer les réglages d’îlot", en: "Configure the box" },
      view_sauron: { fr: "Voir les sessions, l’activité et le journal", en: "See sessions, activity and the journal" },
      export_activity: { fr: "Exporter le journal", en: "Export the journal" },
      send_announcements: { fr: "Écrire à tout le monde", en: "Write to everyone" },
      manage_announcements_config: { fr: "Régler les annonces", en: "Set up announcements" },
    },
  },
  {
    name: "documents",
    title: { fr: "Documents et assistant", en: "Documents and assistant" },
    rights: {
      read_documents: { fr: "Chercher et ouvrir les documents", en: "Search and open documents" },
      edit_documents: { fr: "Ajouter, relire et supprimer des documents", en: "Add, re-read and delete documents" },
      manage_collections: { fr: "Décider qui lit une collection", en: "Decide who reads a collection" },
      use_assistant: { fr: "Interroger l’assistant et garder ses conversations", en: "Ask the assistant and keep conversations" },
      manage_assistant: { fr: "Choisir les modèles et voir toutes les questions", en: "Choose models and see everybody’s questions" },
    },
  },
  {
    name: "attendance",
    title: { fr: "Présence", en: "Attendance" },
    rights: {
      use_attendance: { fr: "Avoir ses appareils et passes, voir ses pointages", en: "Have own devices and passes, see own punches" },
      view_attendance: { fr: "Voir les pointages et la présence de tous", en: "See everybody’s punches and presence" },
      manage_attendance: { fr: "Gérer les bornes, les appareils et les corrections", en: "Manage kiosks, devices and corrections" },
      punch_for_others: { fr: "Valider les passes à une porte, comme une borne", en: "Validate passes at a door, as a kiosk does" },
    },
  },
  {
    name: "remote",
    title: { fr: "Serveurs à distance", en: "Remote servers" },
    rights: {
      view_remote: { fr: "Voir ses serveurs, ses sessions et leur historique", en: "See own servers, sessions and their history" },
      use_remote: { fr: "Ouvrir des sessions sur ses serveurs", en: "Open sessions on own servers" },
      manage_remote: { fr: "Gérer les serveurs et enregistrements de tous", en: "Manage everybody’s servers and recordings" },
    },
  },
  {
    name: "machine",
    title: { fr: "Extensions, tâches et sauvegardes", en: "Plugins, jobs and backups" },
    rights: {
      use_plugins: { fr: "Utiliser les extensions", en: "Use plugins" },
      manage_plugins: { fr: "Installer, autoriser et arrêter des extensions", en: "Install, permit and stop plugins" },
      view_jobs: { fr: "Voir les tâches planifiées et leurs passages", en: "See jobs and their runs" },
      manage_jobs: { fr: "Ajouter, modifier et lancer des tâches", en: "Add, change and run jobs" },
      manage_backups: { fr: "Faire, vérifier et emporter des sauvegardes", en: "Make, verify and take away backups" },
      restore_backups: { fr: "Remettre une sauvegarde à la place de l’existant", en: "Put a backup in the place of what is there" },
      use_continuity: { fr: "Voir l’état du Plan B", en: "See how Plan B is" },
      seal_continuity: { fr: "Chiffrer et déchiffrer avec les clés du Plan B", en: "Seal and open with Plan B’s keys" },
      relay_continuity: { fr: "Utiliser le relais du Plan B", en: "Use Plan B’s relay" },
      manage_continuity: { fr: "Gérer le Plan B : rôle, clés, exercices", en: "Manage Plan B: role, keys, drills" },
    },
  },
];

/** The roles every box begins with; a site may have changed what they hold. */
const ROLES: Record<string, Said> = {
  admin: { fr: "Administrateur", en: "Administrator" },
  viewer: { fr: "Lecteur du planning", en: "Planning viewer" },
  planner: { fr: "Planificateur", en: "Planner" },
  planner_advanced: { fr: "Planificateur avancé", en: "Advanced planner" },
  driver_admin: { fr: "Gestion des chauffeurs", en: "Drivers’ administrator" },
  finance: { fr: "Finances", en: "Finance" },
  analyse: { fr: "Statistiques", en: "Statistics" },
  user: { fr: "Employé", en: "Employee" },
  manager: { fr: "Responsable de présence", en: "Attendance manager" },
  readonly: { fr: "Serveurs, en lecture", en: "Servers, read only" },
  operator: { fr: "Opérateur de serveurs", en: "Server operator" },
};

const OTHER: Said = { fr: "Autres", en: "Others" };
const RIGHTS = Object.assign({}, ...GROUPS.map((group) => group.rights)) as Record<string, Said>;

/** What a right allows, in the reader's language. */
export function rightName(name: string): string {
  return RIGHTS[name]?.[language.code] ?? name;
}

/** The names of the roles every box begins with. */
export function firstRoles(): string[] {
  return Object.keys(ROLES);
}

/** What a role is called, in the reader's language. */
export function roleName(name: string): string {
  return ROLES[name]?.[language.code] ?? name;
}

/** Roles in the order of what they are called, in the reader's language. */
export function byName<Named extends { name: string }>(roles: readonly Named[]): Named[] {
  return [...roles].sort((a, b) => roleName(a.name).localeCompare(roleName(b.name), language.code));
}

/** Rights in their groups and the groups' order; those the pages have no words for come last. */
export function grouped(names: Iterable<string>): { name: string; title: string; rights: string[] }[] {
  const left = new Set(names);
  const groups = GROUPS.map((group) => ({
    name: group.name,
    title: group.title[language.code],
    rights: Object.keys(group.rights).filter((right) => left.delete(right)),
  }));
  if (left.size > 0) groups.push({ name: "other", title: OTHER[language.code], rights: [...left] });
  return groups.filter((group) => group.rights.length > 0);
}
