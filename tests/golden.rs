//! What must not change by accident: the bytes of every record, the routes' description, the codes of faults.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use ilot::base::clock::Moment;
use ilot::base::day::{Day, Month};
use ilot::base::id::{Id, Lineage, Revision};
use ilot::domains::activity::records::{Checkpoint, Hour, Tally, Verified};
use ilot::domains::assistant::adding::{Added, Outcome};
use ilot::domains::assistant::records::talk::{
    Citation, Conversation, Event, Held, Origin, Outcome as TurnOutcome, SavedPrompt, Turn,
};
use ilot::domains::assistant::records::talk::{Model, ModelFile, Purpose};
use ilot::domains::assistant::records::{
    Collection, Document, Edition, Failure, File, Headings, Packed, Passage, Readers, Seen, State,
};
use ilot::domains::attendance::records as at_work;
use ilot::domains::handover::records::{Arrived, Outcome as HandedOver, Report as FileReport};
use ilot::domains::identity::records::{
    ApiKey, Grant, Invitation, KeyKind, Pending, Role, SecondFactor, Session, Site,
    State as UserState, User, Way,
};
use ilot::engines::generation::{Role as Speaker, Usage};
use ilot::engines::readers::Heading;
use ilot::store::Record;
use ilot::store::chain::{Offence, Wrong};
use ilot::store::journal::Head;

use crate::house::tree::tree;

/// Set to rewrite the golden files of texts; records have no such way, since bytes on a disk have none.
const UPDATE: &str = "UPDATE_GOLDEN";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Compares `now` with a golden file, or writes it there when that is wished.
fn compare(name: &str, now: &str) {
    let path = golden(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, now).unwrap();
        return;
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(now.lines()).enumerate().find(|(_, (a, b))| a != b);
    assert!(
        kept == now,
        "tests/golden/{name} is not what the program says, from {:?} on.\n\
         If that is meant, run the tests with {UPDATE}=1 and look at the difference.",
        differs.map_or(kept.lines().count().min(now.lines().count()), |(line, _)| line + 1)
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write;
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A record's bytes are those kept here, and those kept here are read as the record.
fn stands<R: Record + PartialEq + Debug>(name: &str, record: &R, kept: &str) {
    let now = hex(&record.encode().unwrap());
    let advice = "Boxes have such rows on their disks: raise VERSION and add a step to app/schema.rs, \
                  then keep the new bytes here.";
    assert_eq!(now, kept, "{name} is written otherwise than it was. {advice}");
    assert_eq!(&R::decode(&bytes(kept)).unwrap(), record, "{name} is read otherwise. {advice}");
}

const MOMENT: Moment = Moment(1_764_000_000_123);

fn id(last: u8) -> Id {
    Id([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, last])
}

fn lineage() -> Lineage {
    let born = Lineage::born(Revision { site: id(0xa0), count: 7 });
    born.then(Revision { site: id(0xa0), count: 300 })
}

fn document() -> Document {
    Document {
        id: id(1),
        lineage: lineage(),
        collection: "général".into(),
        path: "a/b.md".into(),
        title: "Règlement".into(),
        author: Some("Anna".into()),
        media_type: "text/markdown".into(),
        size: 1234,
        sha256: [0x5a; 32],
        language: "fr".into(),
        state: State::Failed,
        failure: Some(Failure { code: "document_damaged".into(), detail: "x".into() }),
        edition: Some(9),
        passages: 3,
        characters: 1200,
        pages: None,
        date: MOMENT,
        added_at: MOMENT,
        added_by: "anna".into(),
    }
}

#[test]
fn the_records_of_activity_keep_their_bytes() {
    let checkpoint = Checkpoint {
        number: 300,
        hash: [0x5a; 32],
        at: MOMENT,
        key: "k".into(),
        signature: vec![7; 64],
    };
    stands("Checkpoint", &checkpoint, CHECKPOINT);
    stands("Tally", &Tally { count: 300, micros: 70_000 }, "01ac02f0a204");
    stands("Hour", &Hour { first: 1, last: 300 }, "0101ac02");
    let first = Offence {
        number: 9,
        wrong: Wrong::Edited,
        deed: Some("user.add".into()),
        at: Some(MOMENT),
    };
    let verified = Verified {
        head: Head { number: 300, hash: [0x5a; 32] },
        at: MOMENT,
        whole_at: Moment(0),
        count: 2,
        first: Some(first),
    };
    stands("Verified", &verified, VERIFIED);
}

#[test]
fn the_records_of_models_keep_their_bytes() {
    let file = ModelFile { name: "a.gguf".into(), bytes: 379_360, sha256: [0x5a; 32] };
    let model = Model {
        id: id(3),
        lineage: lineage(),
        name: "conte".into(),
        purpose: Purpose::Reranker,
        files: vec![file],
        card: "{}".into(),
        added_at: MOMENT,
        added_by: "anna".into(),
    };
    stands("Model", &model, MODEL);
}

#[test]
fn the_records_of_identity_keep_their_bytes() {
    let user = User {
        id: id(2),
        lineage: Lineage::born(Revision { site: id(0xa0), count: 1 }),
        number: 42,
        username: "anna".into(),
        email: "anna@depot.lan".into(),
        display_name: "Anna É.".into(),
        role: "planner".into(),
        is_system_admin: false,
        state: UserState::Disabled,
        must_change_password: true,
        password: "$argon2id$".into(),
        password_at: MOMENT,
        workstation: true,
        language: "fr".into(),
        created_at: MOMENT,
    };
    stands("User", &user, USER);
    let session = Session {
        id: id(3),
        user: id(2),
        created_at: MOMENT,
        expires_at: Moment(MOMENT.0 + 1),
        address: Some("10.0.0.7".into()),
        client: "curl/8".into(),
        hostname: "PC-1".into(),
        began_at: MOMENT,
        way: Way::SecondFactor,
        proved_at: Some(MOMENT),
    };
    stands("Session", &session, SESSION);
    let role = Role {
        id: id(5),
        lineage: lineage(),
        number: 12,
        name: "quai".into(),
        description: "Le quai".into(),
        rights: vec!["view_planning".into()],
        second_factor: true,
        built_in: false,
        created_at: MOMENT,
    };
    stands("Role", &role, ROLE);
    let grant = Grant {
        lineage: lineage(),
        right: "view_finance".into(),
        until: Some(MOMENT),
        reason: "clôture".into(),
        given_by: "chef".into(),
        given_at: MOMENT,
    };
    stands("Grant", &grant, GRANT);
    let key = ApiKey {
        id: id(6),
        lineage: lineage(),
        kind: KeyKind::Kiosk,
        owner: id(2),
        name: "Quai 3".into(),
        hash: [0x5a; 32],
        hint: "aB3_".into(),
        scopes: vec!["history".into(), "view_planning".into()],
        created_at: MOMENT,
        expires_at: Some(MOMENT),
    };
    stands("ApiKey", &key, API_KEY);
    let site = Site {
        name: "Dépôt".into(),
        language: "fr".into(),
        time_zone: "Europe/Paris".into(),
        colour: "#0f5e6b".into(),
        set_up_at: MOMENT,
    };
    stands("Site", &site, SITE);
    let factor = SecondFactor {
        secret: vec![1, 2, 250],
        enrolled_at: Some(MOMENT),
        last_step: Some(58_800_000),
        recovery: vec!["mac".into()],
        pending: Some(Pending { secret: vec![3], until: MOMENT }),
    };
    stands("SecondFactor", &factor, SECOND_FACTOR);
    let invitation = Invitation {
        id: id(6),
        lineage: lineage(),
        word: "mac".into(),
        role: "planner".into(),
        email: "zoe@depot.lan".into(),
        display_name: "Zoé".into(),
        inviter: Some(id(2)),
        created_by: "chef".into(),
        created_at: MOMENT,
        expires_at: MOMENT,
        used_at: Some(MOMENT),
        used_by: Some("zoe".into()),
    };
    stands("Invitation", &invitation, INVITATION);
}

#[test]
fn the_records_of_the_assistant_keep_their_bytes() {
    stands("Document", &document(), DOCUMENT);
    let added = Added { outcome: Outcome::Duplicate, document: document() };
    stands("Added", &added, &format!("0103{}", &DOCUMENT[2..]));
    let collection = Collection {
        id: id(4),
        lineage: lineage(),
        name: "notes".into(),
        created_at: MOMENT,
        readers: Readers::Everyone,
    };
    stands("Collection", &collection, &format!("{COLLECTION}00"));
    let roles = ["finance".to_owned(), "admin".to_owned()].into();
    let closed =
        Collection { readers: Readers::Only { roles, users: [id(2)].into() }, ..collection };
    let readers = "01020561646d696e0766696e616e6365010102030405060708090a0b0c0d0e0f02";
    stands("Collection", &closed, &format!("{COLLECTION}{readers}"));
    stands("File", &File { size: 70_000, parts: 2, holders: 1 }, "01f0a2040201");
    let edition = Edition {
        document: id(1),
        collection: "notes".into(),
        path: "a/b.md".into(),
        title: "Règlement".into(),
        language: "fr".into(),
        date: MOMENT,
        sha256: [0x5a; 32],
        passages: 3,
        characters: 1200,
    };
    stands("Edition", &edition, EDITION);
    let headings = Headings(vec![Heading { at: 300, level: 2, text: "Pauses".into() }]);
    stands("Headings", &headings, "0101ac020206506175736573");
    let passage =
        Passage {
            start: 5, end: 300, heading: vec!["A".into(), "É".into()], text: "Texte".into()
        };
    stands("Passage", &passage, "0105ac0202014102c389055465787465");
    stands("Packed", &Packed { at: MOMENT, by: "anna".into() }, "01f6a1bfe9d66604616e6e61");
    stands("Seen", &Seen { size: 300, modified: MOMENT }, "01ac02f6a1bfe9d666");
}

#[test]
fn the_records_of_the_handover_keep_their_bytes() {
    let done = HandedOver::Done { by: "zoe".into(), at: MOMENT, remark: "vu".into() };
    let arrived = Arrived {
        id: id(8),
        file: id(9),
        seq: 300,
        kind: "note".into(),
        at: MOMENT,
        by: "Anna".into(),
        user: Some(id(2)),
        door: None,
        body: "{}".into(),
        taken_at: MOMENT,
        outcome: done,
    };
    stands("Arrived", &arrived, ARRIVED);
    for (number, outcome) in [
        HandedOver::Taken { record: "x".into() },
        HandedOver::Conflict { code: "x".into(), reason: "y".into() },
        HandedOver::Note,
        HandedOver::Waiting,
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = Arrived { outcome: outcome.clone(), ..arrived.clone() }.encode().unwrap();
        // Right behind the second moment.
        let at = bytes.windows(6).rposition(|w| w == b"\xf6\xa1\xbf\xe9\xd6\x66").unwrap() + 6;
        assert_eq!(usize::from(bytes[at]), number, "{outcome:?}");
    }
    let report = FileReport {
        file: id(9),
        first_at: MOMENT,
        last_at: MOMENT,
        taken_at: MOMENT,
        entries: 300,
        taken: 200,
        conflicts: 50,
        notes: 40,
        waiting: 10,
        damage: Some("line 3".into()),
    };
    stands("Report", &report, FILE_REPORT);
}

#[test]
fn the_records_of_phones_and_kiosks_keep_their_bytes() {
    use at_work::{Access, AccessMode, Device, Direction, Kiosk, KioskSeen, Pairing, Trust};
    let device = Device {
        id: id(1),
        lineage: lineage(),
        number: 300,
        user: id(2),
        fingerprint: "f".into(),
        name: "Téléphone".into(),
        attestation: Some("{}".into()),
        public_key: vec![1, 2],
        registered_at: MOMENT,
        revoked_at: Some(MOMENT),
    };
    stands("Device", &device, &kept("device"));
    let kiosk = Kiosk {
        id: id(1),
        lineage: lineage(),
        number: 300,
        name: "Quai".into(),
        location: "Portail".into(),
        fingerprint: "f".into(),
        address: Some("::1".into()),
        public_key: None,
        active: true,
        access: AccessMode::Blacklist,
        direction: Direction::Chosen,
        trust: Trust::Anyone,
        pins: true,
        created_at: MOMENT,
    };
    stands("Kiosk", &kiosk, &kept("kiosk"));
    let seen = KioskSeen {
        at: MOMENT,
        app_version: "1".into(),
        device_info: None,
        address: Some("::1".into()),
        clock_ahead_ms: Some(-300),
        waiting: 300,
    };
    stands("KioskSeen", &seen, &kept("kiosk_seen"));
    let access = Access { granted: true, by: None, at: MOMENT, expires_at: Some(MOMENT) };
    stands("Access", &access, &kept("access"));
    stands("Pairing", &Pairing { kiosk: id(1), expires_at: MOMENT }, &kept("pairing"));
}

#[test]
fn the_records_of_punches_keep_their_bytes() {
    use at_work::{
        Brief, Change, Correction, Decision, Flag, Kind, Pass, Pin, Punch, Taken, Unsettled,
        Way as Made,
    };
    let pass = Pass {
        user: id(2),
        device: id(3),
        nonce: id(4),
        issued_at: MOMENT,
        boot: [7; 16],
        boot_ms: 300,
        life_ms: 30_000,
        taken: Some(Taken { at: MOMENT, kiosk: id(5), punch: id(6) }),
    };
    stands("Pass", &pass, &kept("pass"));
    stands("Pin", &Pin { mac: [0x5a; 32], set_at: MOMENT }, &kept("pin"));
    let punch = Punch {
        id: id(1),
        lineage: lineage(),
        number: 300,
        user: id(2),
        device: Some(id(3)),
        kiosk: None,
        kind: Kind::BreakEnd,
        way: Made::PlanB,
        at: MOMENT,
        kiosk_at: Some(MOMENT),
        written_at: MOMENT,
        token: "t".into(),
        flags: vec![Flag::DoubtfulTime, Flag::ClosedMonth],
    };
    stands("Punch", &punch, &kept("punch"));
    let brief = Brief { number: 300, kind: Kind::ClockOut, kiosk: Some(id(3)), flags: vec![] };
    stands("Brief", &brief, &kept("brief"));
    let mut correction = Correction {
        id: id(1),
        lineage: lineage(),
        number: 300,
        user: id(2),
        about: MOMENT,
        change: Change::Move { punch: id(3), at: MOMENT, kind: Kind::ClockIn },
        reason: "oublié".into(),
        author: Some(id(2)),
        author_name: "Anna".into(),
        asked_at: MOMENT,
        decision: Decision::Withdrawn,
        decided_by: Some("Zoé".into()),
        decided_at: Some(MOMENT),
        remark: String::new(),
    };
    stands("Correction", &correction, &kept("correction"));
    correction.change = Change::Add { kind: Kind::BreakStart, at: MOMENT };
    stands("Correction", &correction, &kept("correction_add"));
    correction.change = Change::Drop { punch: id(3) };
    stands("Correction", &correction, &kept("correction_drop"));
    let unsettled = Unsettled {
        id: id(1),
        came_at: MOMENT,
        at: MOMENT,
        kiosk: Some(id(2)),
        user: None,
        kind: Some(Kind::ClockIn),
        way: Made::OwnPass,
        token: "t".into(),
        code: "pass_expired".into(),
        reason: "x".into(),
        settled_by: None,
        settled_at: None,
        remark: String::new(),
    };
    stands("Unsettled", &unsettled, &kept("unsettled"));
}

#[test]
fn the_records_of_working_time_keep_their_bytes() {
    use at_work::{Band, ClosedMonth, Overtime, Rules, Schedule, Shift, Totals};
    let shift = Shift { from: 480, until: 960, pause: 60 };
    let schedule = Schedule {
        lineage: lineage(),
        number: 300,
        name: "Jour".into(),
        days: vec![Some(shift), None],
        retired: false,
    };
    stands("Schedule", &schedule, &kept("schedule"));
    let rules = Rules {
        lineage: lineage(),
        from: "2026-01-01".parse::<Day>().unwrap(),
        name: "35 h".into(),
        source: "L3121-27".into(),
        week_minutes: 2100,
        bands: vec![Band { minutes: Some(480), percent: 25 }, Band { minutes: None, percent: 50 }],
        night_from: 1260,
        night_until: 360,
        day_max: 600,
        week_max: 2880,
        rest_min: 660,
        pause_after: 360,
        pause_min: 20,
    };
    stands("Rules", &rules, &kept("rules"));
    let month = ClosedMonth {
        lineage: lineage(),
        month: "2026-01".parse::<Month>().unwrap(),
        closed: true,
        at: MOMENT,
        by: "Zoé".into(),
        reason: String::new(),
        times: 2,
        sha256: [0x5a; 32],
    };
    stands("ClosedMonth", &month, &kept("closed_month"));
    let totals = Totals {
        days: 20,
        worked: 9000,
        paused: 600,
        night: 30,
        sunday: 0,
        expected: Some(8400),
        overtime: vec![Overtime { percent: 25, minutes: 300 }],
        open_days: 1,
    };
    stands("Totals", &totals, &kept("totals"));
}

#[test]
fn the_records_of_joining_keep_their_bytes() {
    use at_work::{HrCode, Joining, Step};
    let code = HrCode {
        lineage: lineage(),
        number: 300,
        code: "EMPL-2026-AAAAA".into(),
        email: "a@b.fr".into(),
        name: Some("Anna".into()),
        by: None,
        created_at: MOMENT,
        expires_at: MOMENT,
        used_at: Some(MOMENT),
        used_by: Some(id(2)),
    };
    stands("HrCode", &code, &kept("hr_code"));
    let joining = Joining {
        id: id(1),
        code: 300,
        email: "a@b.fr".into(),
        step: Step::Completed,
        began_at: MOMENT,
        expires_at: MOMENT,
        otp: "m".into(),
        otp_until: MOMENT,
        attempts: 3,
        address: Some("::1".into()),
    };
    stands("Joining", &joining, &kept("joining"));
}

/// The bytes of a record in `tests/golden/attendance.txt`: a name and its bytes a line.
fn kept(name: &str) -> String {
    let text = fs::read_to_string(golden("attendance.txt")).unwrap();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(known, _)| *known == name).map_or_else(String::new, |(_, bytes)| bytes.to_owned())
}

#[test]
fn the_records_of_talk_keep_their_bytes() {
    let conversation = Conversation {
        id: id(7),
        lineage: lineage(),
        owner: id(2),
        title: "Congés".into(),
        titled: true,
        collection: Some("notes".into()),
        created_at: MOMENT,
        updated_at: MOMENT,
        turns: 300,
    };
    stands("Conversation", &conversation, CONVERSATION);
    let turn = Turn {
        id: id(8),
        ordinal: 300,
        role: Speaker::Assistant,
        text: "Été [1].".into(),
        at: MOMENT,
        origin: Origin::Grounded,
        outcome: TurnOutcome::Failed,
        failure: Some("queue_full".into()),
        citations: vec![Citation { number: 1, document: id(1), edition: 9, passage: 300 }],
        model: Some("petit".into()),
        usage: Usage {
            prompt_tokens: 300,
            reused_tokens: 200,
            completion_tokens: 7,
            prefill_ms: 40,
            decode_ms: 5,
        },
        took_ms: 90,
        searched_for: Some("x".into()),
        given: vec![id(1)],
    };
    stands("Turn", &turn, TURN);
    let event = Event {
        kind: "chat.answer".into(),
        user: Some(id(2)),
        username: "anna".into(),
        session: Some("s".into()),
        plugin: None,
        payload: "{}".into(),
        at: MOMENT,
    };
    stands("Event", &event, EVENT);
    stands("Held", &Held { last: 300, count: 7, bytes: 70_000 }, "01ac0207f0a204");
    let prompt =
        SavedPrompt { prompt: "Où ?".into(), favourite: true, used: 300, last_used: MOMENT };
    stands("SavedPrompt", &prompt, "01054fc3b9203f01ac02f6a1bfe9d666");
    for (number, origin) in
        [Origin::Person, Origin::Grounded, Origin::Extract, Origin::Model, Origin::NotFound]
            .into_iter()
            .enumerate()
    {
        let bytes = Turn { origin, ..turn.clone() }.encode().unwrap();
        // Right behind the moment.
        let at = bytes.windows(6).position(|w| w == b"\xf6\xa1\xbf\xe9\xd6\x66").unwrap() + 6;
        assert_eq!(usize::from(bytes[at]), number, "{origin:?}");
    }
}

/// Every state has its number on disk: one put in between would rename those behind it.
#[test]
fn the_states_keep_their_numbers() {
    for (number, state) in
        [State::Queued, State::Reading, State::Ready, State::Failed].iter().enumerate()
    {
        let edited = Document { state: *state, failure: None, ..document() };
        let bytes = edited.encode().unwrap();
        // Right behind the language `fr`.
        let at = bytes.windows(3).position(|w| w == b"\x02fr").unwrap() + 3;
        assert_eq!(usize::from(bytes[at]), number, "{state:?}");
    }
    for (number, outcome) in
        [Outcome::Added, Outcome::Replaced, Outcome::Unchanged, Outcome::Duplicate]
            .into_iter()
            .enumerate()
    {
        let bytes = Added { outcome, document: document() }.encode().unwrap();
        assert_eq!(usize::from(bytes[1]), number, "{outcome:?}");
    }
}

#[test]
fn the_description_of_the_routes_is_the_one_the_pages_were_made_for() {
    let mut now = ilot::app::commands::openapi::document().unwrap();
    now.push('\n');
    compare("openapi.json", &now);
}

#[test]
fn the_codes_of_faults_are_known() {
    let mut codes = BTreeSet::new();
    for (path, text) in tree() {
        // What only the command line says is not sent to anybody.
        if path.starts_with("src/")
            && path.ends_with(".rs")
            && !path.starts_with("src/app/commands/")
        {
            codes.extend(codes_of(&text));
        }
    }
    assert!(codes.len() > 60, "only {} codes were found: {codes:?}", codes.len());
    let mut now = String::from("# Every code a fault can carry, gathered from the sources.\n");
    for code in &codes {
        now.push_str(code);
        now.push('\n');
    }
    compare("fault_codes.txt", &now);
}

#[test]
fn a_code_is_seen_however_its_fault_is_made() {
    let source = r#"
        fn f() { Fault::invalid("one_way", "x"); Fault::new(Kind::Full, "two_ways", y);
            Fault::busy(
                "three_ways", "z"); Self::new(Kind::Broken, "internal", doing); named("four_ways", "w") }
        const KNOWN: [(&str, Kind); 1] = [("five_ways", Kind::TooLarge)];
        #[cfg(test)]
        mod tests { fn g() { Fault::invalid("no_way", "x") } }
    "#;
    let found: Vec<String> = codes_of(source).into_iter().collect();
    assert_eq!(found, ["five_ways", "four_ways", "internal", "one_way", "three_ways", "two_ways"]);
}

/// The codes that a source text makes faults with.
fn codes_of(source: &str) -> BTreeSet<String> {
    const MAKERS: [&str; 7] = [
        "Fault::invalid(",
        "Fault::forbidden(",
        "Fault::conflict(",
        "Fault::too_large(",
        "Fault::busy(",
        "Fault::unavailable(",
        "named(",
    ];
    let source = source.split("mod tests {").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for (at, _) in source.match_indices('"') {
        let Some((word, after)) = source[at + 1..].split_once('"') else { break };
        let is_code = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if !is_code {
            continue;
        }
        let before = source[..at].trim_end();
        let by_kind = before.strip_suffix(',').is_some_and(|before| {
            let kind = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric());
            kind.ends_with("Kind::") && kind.len() < before.len()
        });
        let listed = before.ends_with('(') && after.starts_with(", Kind::");
        if by_kind || listed || MAKERS.iter().any(|maker| before.ends_with(maker)) {
            found.insert(word.to_owned());
        }
    }
    found
}

const CHECKPOINT: &str = concat!(
    "01ac025a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5af6a1bfe9d666016b40",
    "0707070707070707070707070707070707070707070707070707070707070707070707070707070707070707",
    "0707070707070707070707070707070707070707"
);
const VERIFIED: &str = concat!(
    "01ac025a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5af6a1bfe9d666000201",
    "09010108757365722e61646401f6a1bfe9d666"
);
const USER: &str = "020102030405060708090a0b0c0d0e0f020102030405060708090a0b0c0d0e0fa001002a04616e6e610e616e6e61406465706f742e6c616e08416e6e6120c3892e07706c616e6e65720001010a246172676f6e32696424f6a1bfe9d66601026672f6a1bfe9d666";
const SESSION: &str = "020102030405060708090a0b0c0d0e0f030102030405060708090a0b0c0d0e0f02f6a1bfe9d666f6a1bfe9d666f8a1bfe9d666010831302e302e302e37066375726c2f380450432d310101f6a1bfe9d666";
const ROLE: &str = "010102030405060708090a0b0c0d0e0f050102030405060708090a0b0c0d0e0fa0ac02010102030405060708090a0b0c0d0e0fa0070c0471756169074c652071756169010d766965775f706c616e6e696e670100f6a1bfe9d666";
const GRANT: &str = "010102030405060708090a0b0c0d0e0fa0ac02010102030405060708090a0b0c0d0e0fa0070c766965775f66696e616e636501f6a1bfe9d66608636cc3b4747572650463686566f6a1bfe9d666";
const API_KEY: &str = "010102030405060708090a0b0c0d0e0f060102030405060708090a0b0c0d0e0fa0ac02010102030405060708090a0b0c0d0e0fa007010102030405060708090a0b0c0d0e0f02065175616920335a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a046142335f0207686973746f72790d766965775f706c616e6e696e67f6a1bfe9d66601f6a1bfe9d666";
const SECOND_FACTOR: &str = "01030102fa01f6a1bfe9d6660180ef841c01036d6163010103f6a1bfe9d666";
const INVITATION: &str = "010102030405060708090a0b0c0d0e0f060102030405060708090a0b0c0d0e0fa0ac02010102030405060708090a0b0c0d0e0fa007036d616307706c616e6e65720d7a6f65406465706f742e6c616e045a6fc3a9010102030405060708090a0b0c0d0e0f020463686566f6a1bfe9d666f6a1bfe9d66601f6a1bfe9d66601037a6f65";
const SITE: &str = "010744c3a970c3b4740266720c4575726f70652f50617269730723306635653662f6a1bfe9d666";
const DOCUMENT: &str = "010102030405060708090a0b0c0d0e0f010102030405060708090a0b0c0d0e0fa0ac02010102030405060708090a0b0c0d0e0fa0070967c3a96ec3a972616c06612f622e6d640a52c3a8676c656d656e740104416e6e610d746578742f6d61726b646f776ed2095a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a026672030110646f63756d656e745f64616d616765640178010903b00900f6a1bfe9d666f6a1bfe9d66604616e6e61";
const COLLECTION: &str = "020102030405060708090a0b0c0d0e0f040102030405060708090a0b0c0d0e0fa0ac02010102030405060708090a0b0c0d0e0fa007056e6f746573f6a1bfe9d666";
const ARRIVED: &str = "010102030405060708090a0b0c0d0e0f080102030405060708090a0b0c0d0e0f09ac02046e6f7465f6a1bfe9d66604416e6e61010102030405060708090a0b0c0d0e0f0200027b7df6a1bfe9d66604037a6f65f6a1bfe9d666027675";
const FILE_REPORT: &str = "010102030405060708090a0b0c0d0e0f09f6a1bfe9d666f6a1bfe9d666f6a1bfe9d666ac02c80132280a01066c696e652033";
const EDITION: &str = "010102030405060708090a0b0c0d0e0f01056e6f74657306612f622e6d640a52c3a8676c656d656e74026672f6a1bfe9d6665a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a03b009";
const MODEL: &str = "010102030405060708090a0b0c0d0e0f030102030405060708090a0b0c0d0e0fa0ac02010102030405060708090a0b0c0d0e0fa00705636f6e7465010106612e67677566e093175a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a027b7df6a1bfe9d66604616e6e61";
const CONVERSATION: &str = "010102030405060708090a0b0c0d0e0f070102030405060708090a0b0c0d0e0fa0ac02010102030405060708090a0b0c0d0e0fa0070102030405060708090a0b0c0d0e0f0207436f6e67c3a9730101056e6f746573f6a1bfe9d666f6a1bfe9d666ac02";
const TURN: &str = "010102030405060708090a0b0c0d0e0f08ac02020ac38974c3a9205b315d2ef6a1bfe9d6660102010a71756575655f66756c6c01010102030405060708090a0b0c0d0e0f0109ac0201057065746974ac02c8010728055a010178010102030405060708090a0b0c0d0e0f01";
const EVENT: &str = "010b636861742e616e73776572010102030405060708090a0b0c0d0e0f0204616e6e6101017300027b7df6a1bfe9d666";
