//! Every table of the box and every migration step, in order.

use crate::domains::assistant::steps;
use crate::domains::identity::earlier;
use crate::domains::{
    activity::records as activity, assistant::records as assistant, assistant::records::talk,
    attendance::records as attendance, handover::records as handover,
    identity::records as identity,
};
use crate::store::migrate::Step;
use crate::store::table::Duty;
use crate::store::{Table, changes, journal, meta};

/// A table as snapshots and checks know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its name on disk.
    pub name: &'static str,
    /// What a write to it owes.
    pub duty: Duty,
}

const fn known<K, V>(table: &Table<K, V>) -> Known {
    Known { name: table.name, duty: table.duty }
}

/// Every table.
pub const TABLES: &[Known] = &[
    known(&meta::GENESIS),
    known(&meta::NUMBERS),
    known(&meta::HEADS),
    known(&meta::CLOCKS),
    known(&meta::ONCE),
    known(&journal::JOURNAL),
    known(&changes::CHANGES),
    known(&changes::FLOORS),
    known(&identity::USERS),
    known(&identity::USERS_BY_LOGIN),
    known(&identity::USERS_BY_NUMBER),
    known(&identity::ROLES),
    known(&identity::ROLES_GONE),
    known(&identity::GRANTS),
    known(&identity::LAST_LOGIN),
    known(&identity::SESSIONS),
    known(&identity::SESSIONS_OF),
    known(&identity::LAST_USED),
    known(&identity::KNOWN_PLACES),
    known(&identity::KNOWN_ADDRESSES),
    known(&identity::API_KEYS),
    known(&identity::API_KEYS_BY_HASH),
    known(&identity::API_KEYS_OF),
    known(&identity::API_KEYS_USED),
    known(&identity::SECOND_FACTORS),
    known(&identity::INVITATIONS),
    known(&identity::INVITATIONS_BY_WORD),
    known(&identity::SITE),
    known(&identity::KEYS),
    known(&assistant::DOCUMENTS),
    known(&assistant::BY_PATH),
    known(&assistant::BY_CONTENT),
    known(&assistant::COLLECTIONS),
    known(&assistant::TO_READ),
    known(&assistant::FILES),
    known(&assistant::FILE_PARTS),
    known(&assistant::UNFINISHED),
    known(&assistant::EDITIONS),
    known(&assistant::TEXTS),
    known(&assistant::HEADINGS),
    known(&assistant::PASSAGES),
    known(&assistant::VECTORS),
    known(&assistant::TO_EMBED),
    known(&assistant::SEEN),
    known(&assistant::COUNTERS),
    known(&assistant::NOTES),
    known(&assistant::PACKED),
    known(&talk::MODELS),
    known(&talk::CHOSEN),
    known(&talk::UPSTREAM_KEYS),
    known(&talk::CONVERSATIONS),
    known(&talk::CONVERSATIONS_OF),
    known(&talk::TURNS),
    known(&talk::EVENTS),
    known(&talk::EVENTS_OF),
    known(&talk::EVENTS_HELD),
    known(&talk::PROMPTS),
    known(&activity::CHECKPOINTS),
    known(&activity::KEYS),
    known(&activity::REQUESTS),
    known(&activity::HOURS),
    known(&activity::HOURS_UNTIL),
    known(&activity::VERIFIED),
    known(&handover::ARRIVALS),
    known(&handover::ARRIVALS_IN_ORDER),
    known(&handover::REPORTS),
    known(&handover::OPEN),
    known(&attendance::DEVICES),
    known(&attendance::DEVICES_BY_NUMBER),
    known(&attendance::DEVICES_BY_FINGERPRINT),
    known(&attendance::DEVICES_OF),
    known(&attendance::DEVICES_SEEN),
    known(&attendance::KIOSKS),
    known(&attendance::KIOSKS_BY_NUMBER),
    known(&attendance::KIOSKS_BY_MARK),
    known(&attendance::KIOSKS_SEEN),
    known(&attendance::KIOSK_ACCESS),
    known(&attendance::PAIRINGS),
    known(&attendance::PASSES),
    known(&attendance::KEYS),
    known(&attendance::PINS),
    known(&attendance::PUNCHES),
    known(&attendance::PUNCHES_BY_NUMBER),
    known(&attendance::PUNCHES_OF),
    known(&attendance::PUNCHES_AT),
    known(&attendance::PUNCHES_BY_TOKEN),
    known(&attendance::CORRECTIONS),
    known(&attendance::CORRECTIONS_BY_NUMBER),
    known(&attendance::CORRECTIONS_OF),
    known(&attendance::CORRECTIONS_OPEN),
    known(&attendance::UNSETTLED),
    known(&attendance::SCHEDULES),
    known(&attendance::FOLLOWS),
    known(&attendance::RULES),
    known(&attendance::MONTHS),
    known(&attendance::MONTH_TOTALS),
    known(&attendance::HR_CODES),
    known(&attendance::HR_CODES_BY_CODE),
    known(&attendance::JOININGS),
];

/// Every step from one shape of the store to the next; forward only, never edited once released.
pub const STEPS: &[Step] = &[
    Step { name: "begin", run: |_| Ok(()) },
    Step { name: "users know their state", run: earlier::to_second_shape },
    Step { name: "collections get readers", run: steps::collections_get_readers },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tables_share_a_name() {
        let mut names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLES.len());
    }
}
