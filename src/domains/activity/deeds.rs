//! What the five systems' clients call a deed: TomatoPlan's action and entity types, Chrona's events.

use std::borrow::Cow;

use crate::store::journal::{Glance, Link};

/// Deeds with an action type of their own (planning-tomatoplan.md §4.6).
const ACTIONS: &[(&str, &str)] = &[
    ("backup.add", "BACKUP_CREATE"),
    ("backup.make", "BACKUP_CREATE"),
    ("backup.restore", "BACKUP_RESTORE"),
    ("login.refuse", "LOGIN_FAILED"),
    ("password.change", "PASSWORD_CHANGED"),
    ("password.reset", "PASSWORD_RESET"),
    ("session.begin", "LOGIN"),
    ("session.disconnect", "FORCE_DISCONNECT"),
    ("session.kick", "SESSION_KICK"),
    ("session.kick_all", "SESSION_KICK_ALL"),
    ("user.offboard", "DEACTIVATE"),
];

/// Verbs that mean the same of every noun.
const VERBS: &[(&str, &str)] = &[
    ("add", "CREATE"),
    ("add_many", "BULK_CREATE"),
    ("create", "CREATE"),
    ("delete", "DELETE"),
    ("disable", "DEACTIVATE"),
    ("edit", "UPDATE"),
    ("remove", "DELETE"),
];

/// Nouns that TomatoPlan's clients call otherwise.
const ENTITIES: &[(&str, &str)] = &[
    ("driver", "chauffeur"),
    ("revenue", "revenu_palette"),
    ("subcontractor", "sst"),
    ("tariff", "tarif_sst"),
    ("trip", "voyage"),
];

/// Deeds that Chrona's clients know as events (attendance-chrona.md §2.9).
const EVENTS: &[(&str, &str)] = &[
    ("device.add", "device_registered"),
    ("device.register", "device_registered"),
    ("device.revoke", "device_revoked"),
    ("onboarding.begin", "onboarding_initiated"),
    ("onboarding.complete", "onboarding_completed"),
    ("onboarding.refuse", "onboarding_otp_failed"),
    ("onboarding.verify", "onboarding_otp_verified"),
    ("punch.deny", "punch_access_denied"),
    ("punch.replay", "punch_replay_attempt"),
    ("punch.validate", "punch_validated"),
];

/// Ending a session: one's own, or somebody else's.
const END: &str = "session.end";

fn of(table: &[(&'static str, &'static str)], word: &str) -> Option<&'static str> {
    table.iter().find(|(own, _)| *own == word).map(|(_, theirs)| *theirs)
}

fn parts(deed: &str) -> (&str, &str) {
    deed.split_once('.').unwrap_or((deed, ""))
}

fn named(deed: &str, own_session: bool) -> Cow<'static, str> {
    if deed == END {
        return if own_session { "LOGOUT" } else { "FORCE_DISCONNECT" }.into();
    }
    match of(ACTIONS, deed).or_else(|| of(VERBS, parts(deed).1)) {
        Some(action) => action.into(),
        None => deed.to_uppercase().replace('.', "_").into(),
    }
}

/// The action type of a link that was looked at.
pub fn action_at(glance: &Glance<'_>) -> Cow<'static, str> {
    // Links of the first shape do not know their session; then only signing out ended one.
    let own = glance.deed == END
        && (glance.shape == 1
            || glance.session.is_some_and(|session| session.to_string() == glance.object));
    named(glance.deed, own)
}

/// The action type of a link.
pub fn action(link: &Link) -> Cow<'static, str> {
    let own = link.deed == END
        && (link.shape == 1
            || link.session.is_some_and(|session| session.to_string() == link.object));
    named(&link.deed, own)
}

/// The entity type of a deed.
pub fn entity(deed: &str) -> &str {
    let noun = parts(deed).0;
    of(ENTITIES, noun).unwrap_or(noun)
}

/// The event type of a deed.
pub fn event(deed: &str) -> Cow<'static, str> {
    of(EVENTS, deed).map_or_else(|| deed.replace('.', "_").into(), Into::into)
}

/// Whether clients may mean `deed` by `event`: its event type, or its own name.
pub fn is_event(deed: &str, event: &str) -> bool {
    deed == event || self::event(deed) == event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_have_the_names_their_clients_expect() {
        for (deed, action, entity, event) in [
            ("session.begin", "LOGIN", "session", "session_begin"),
            ("login.refuse", "LOGIN_FAILED", "login", "login_refuse"),
            ("password.change", "PASSWORD_CHANGED", "password", "password_change"),
            ("password.reset", "PASSWORD_RESET", "password", "password_reset"),
            ("user.add", "CREATE", "user", "user_add"),
            ("user.disable", "DEACTIVATE", "user", "user_disable"),
            ("mission.edit", "UPDATE", "mission", "mission_edit"),
            ("mission.add_many", "BULK_CREATE", "mission", "mission_add_many"),
            ("driver.delete", "DELETE", "chauffeur", "driver_delete"),
            ("chauffeur.add", "CREATE", "chauffeur", "chauffeur_add"),
            ("trip.remove", "DELETE", "voyage", "trip_remove"),
            ("tariff.add", "CREATE", "tarif_sst", "tariff_add"),
            ("revenue.edit", "UPDATE", "revenu_palette", "revenue_edit"),
            ("backup.restore", "BACKUP_RESTORE", "backup", "backup_restore"),
            ("session.kick_all", "SESSION_KICK_ALL", "session", "session_kick_all"),
            ("device.revoke", "DEVICE_REVOKE", "device", "device_revoked"),
            ("punch.replay", "PUNCH_REPLAY", "punch", "punch_replay_attempt"),
            ("clock.settle", "CLOCK_SETTLE", "clock", "clock_settle"),
        ] {
            assert_eq!(named(deed, false), action);
            assert_eq!(self::entity(deed), entity);
            assert_eq!(self::event(deed), event);
            assert!(is_event(deed, event) && is_event(deed, deed) && !is_event(deed, "x"));
        }
        assert_eq!(
            (named(END, true), named(END, false)),
            ("LOGOUT".into(), "FORCE_DISCONNECT".into())
        );
    }
}
