//! Drills: asked for in a file, held by the watchdog, proved in a signed file.

use std::cmp::Reverse;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::HEXLOWER;

use super::history;
use super::lock;
use super::runner::End;
use super::state::{Drill, DrillWish, Phase, Trial};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::base::paths::write_private;
use crate::domains::continuity::place::Place;
use crate::engines::signing::{self, SigningKey};

/// The shortest drill, seconds: everything has to be tried in it.
pub const SECONDS_MIN: u64 = 10;
/// The longest drill, seconds.
pub const SECONDS_MAX: u64 = 600;
/// How long a drill is when nobody says otherwise, seconds.
pub const SECONDS: u64 = 120;
/// A wish that lay about for longer is not taken up: nobody expects it any more.
const WISH_MAX: Duration = Duration::from_secs(30);
/// The ending of a signature's file.
const SIGNATURE: &str = "sig";
/// The ending of a proof's file.
const PROOF: &str = "json";
/// The file, next to the proofs, of the drill that has none yet.
const UNDER_WAY: &str = "under_way";

/// Asks the watchdog of `place` for a drill of `seconds`.
///
/// # Errors
/// `drill_seconds` outside of [`SECONDS_MIN`] to [`SECONDS_MAX`]; `watchdog_absent` when none lives
/// there; `drill_under_way`; `drill_not_now` while the main program is not well; `internal`.
pub fn wish(place: &Place, clock: &dyn Clock, seconds: u64, by: &str) -> Result<DrillWish, Fault> {
    if !(SECONDS_MIN..=SECONDS_MAX).contains(&seconds) {
        let words = format!("A drill takes {SECONDS_MIN} to {SECONDS_MAX} seconds.");
        return Err(Fault::invalid("drill_seconds", words));
    }
    if !lock::is_held(place) {
        return Err(Fault::conflict(
            "watchdog_absent",
            "No watchdog runs here: start the box by `ilot watchdog`.",
        ));
    }
    let phase = history::state(place).map(|state| state.phase);
    let waiting = waiting(place, clock.now()).is_some();
    match phase {
        _ if waiting => Err(under_way()),
        Some(Phase::Drill) => Err(under_way()),
        Some(Phase::Healthy) => {
            let at = clock.now();
            let wish = DrillWish { id: Id::new(at), seconds, by: by.to_owned(), at };
            let bytes =
                serde_json::to_vec(&wish).map_err(|e| Fault::broken("writing a wish", e))?;
            write_private(&place.drill_wish(), &bytes)
                .map_err(|e| Fault::broken("writing a wish", e))?;
            Ok(wish)
        }
        _ => Err(Fault::conflict(
            "drill_not_now",
            "The main program is not well at the moment: this is no time for a drill.",
        )),
    }
}

fn under_way() -> Fault {
    Fault::conflict("drill_under_way", "A drill is asked for or held already.")
}

/// The wish that waits to be taken up, as long as somebody still expects it.
pub fn waiting(place: &Place, now: Moment) -> Option<DrillWish> {
    read(&fs::read(place.drill_wish()).ok()?).filter(|wish| is_fresh(wish, now))
}

/// Whether somebody still expects it; a time to come is one of a clock that was wrong.
fn is_fresh(wish: &DrillWish, now: Moment) -> bool {
    wish.at <= now && now.since(wish.at) < WISH_MAX
}

/// Takes the wish up: its file moves, so that a watchdog that dies does not hold it twice and the next
/// one knows of it. Wishes of long ago, or of a time to come, are thrown away.
pub fn take(place: &Place, now: Moment) -> Option<DrillWish> {
    let path = place.drill_wish();
    let bytes = fs::read(&path).ok()?;
    let wish = read(&bytes).filter(|wish| is_fresh(wish, now));
    let moved = wish.is_some() && fs::rename(&path, under_way_at(place)).is_ok();
    if !moved {
        fs::remove_file(&path).ok()?;
    }
    wish
}

fn read(bytes: &[u8]) -> Option<DrillWish> {
    let mut wish: DrillWish = serde_json::from_slice(bytes).ok()?;
    wish.seconds = wish.seconds.clamp(SECONDS_MIN, SECONDS_MAX);
    Some(wish)
}

fn under_way_at(place: &Place) -> PathBuf {
    place.drills().join(UNDER_WAY)
}

/// The failed proof of a drill that an earlier watchdog took up and did not live to prove.
pub fn broken_off(place: &Place) -> Option<Drill> {
    let wish = read(&fs::read(under_way_at(place)).ok()?)?;
    Some(Drill {
        id: wish.id,
        by: wish.by,
        began_at: wish.at,
        seconds: wish.seconds,
        planb_after_ms: None,
        main_after_ms: None,
        ended_at: None,
        trials: vec![Trial {
            what: "return".into(),
            ok: false,
            detail: "The watchdog ended before the drill did.".into(),
            took_ms: 0,
        }],
        ok: false,
    })
}

/// The proofs of `place`, newest first, each with whether this node's signature stands under it.
pub fn held(place: &Place) -> Vec<(Drill, bool)> {
    let public = node_key(place).map(|key| key.public());
    let Ok(entries) = fs::read_dir(place.drills()) else { return Vec::new() };
    let mut drills: Vec<(Drill, bool)> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == PROOF))
        .filter_map(|path| {
            let bytes = fs::read(&path).ok()?;
            let drill = serde_json::from_slice(&bytes).ok()?;
            let signature = fs::read(path.with_extension(SIGNATURE)).unwrap_or_default();
            let signature = HEXLOWER.decode(signature.trim_ascii()).unwrap_or_default();
            let signed = public.is_some_and(|public| signing::verify(&public, &bytes, &signature));
            Some((drill, signed))
        })
        .collect();
    drills.sort_by_key(|(drill, _)| Reverse((drill.began_at, drill.id)));
    drills
}

/// Writes a proof, and this node's signature under it when the node has its key.
///
/// # Errors
/// What the file system says.
pub fn prove(place: &Place, drill: &Drill) -> io::Result<()> {
    let bytes = serde_json::to_vec_pretty(drill)?;
    let path = place.drills().join(format!("{}.{PROOF}", drill.id));
    if let Some(signature) = node_key(place).and_then(|key| key.sign(&bytes).ok()) {
        let line = format!("{}\n", HEXLOWER.encode(&signature));
        write_private(&path.with_extension(SIGNATURE), line.as_bytes())?;
    }
    write_private(&path, &bytes)?;
    let taken = fs::read(under_way_at(place)).ok().and_then(|bytes| read(&bytes));
    if taken.is_some_and(|wish| wish.id == drill.id) {
        fs::remove_file(under_way_at(place))?;
    }
    Ok(())
}

fn node_key(place: &Place) -> Option<SigningKey> {
    let bytes = zeroize::Zeroizing::new(fs::read(place.node_key()).ok()?);
    SigningKey::read(&bytes).ok()
}

/// How far a drill is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// The main program is asked to end.
    Ending,
    /// Plan B answers until then.
    Standing(Duration),
    /// The main program is on its way back.
    Returning,
}

/// A drill under way, as the machine measures it; times are since boot.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// What was asked for.
    pub wish: DrillWish,
    began: Duration,
    stage: Stage,
    main_ended: Option<Duration>,
    planb_up: Option<Duration>,
    main_started: Option<Duration>,
    main_well: Option<Duration>,
    over: Option<Duration>,
    back: bool,
    remarks: Vec<String>,
    /// Ends of Plan B that nobody asked for.
    falls: Vec<Trial>,
}

impl Course {
    pub(super) fn begin(wish: DrillWish, now: Duration) -> Self {
        Self {
            wish,
            began: now,
            stage: Stage::Ending,
            main_ended: None,
            planb_up: None,
            main_started: None,
            main_well: None,
            over: None,
            back: false,
            remarks: Vec::new(),
            falls: Vec::new(),
        }
    }

    /// One that was not to be.
    pub(super) fn declined(wish: DrillWish, now: Duration, why: String) -> Self {
        let mut course = Self::begin(wish, now);
        course.remark(why);
        course
    }

    pub(super) fn main_ended(&mut self, now: Duration, end: &End) {
        self.main_ended = Some(now);
        self.stage = Stage::Standing(now.saturating_add(Duration::from_secs(self.wish.seconds)));
        if !end.is_good() {
            self.remark(format!("Asked to end, the main program {}.", end.words()));
        }
    }

    /// Plan B answers for the first time: what is now to be tried.
    pub(super) fn planb_up(&mut self, now: Duration) -> Option<DrillWish> {
        let first = self.planb_up.is_none() && matches!(self.stage, Stage::Standing(_));
        first.then(|| {
            self.planb_up = Some(now);
            self.wish.clone()
        })
    }

    /// Whether it is time for the main program to come back.
    pub(super) fn return_at(&mut self, now: Duration) -> bool {
        let over = matches!(self.stage, Stage::Standing(until) if until <= now);
        if over {
            (self.stage, self.main_started) = (Stage::Returning, Some(now));
        }
        over
    }

    pub(super) fn main_well(&mut self, now: Duration) {
        if self.stage == Stage::Returning {
            self.main_well.get_or_insert(now);
        }
    }

    pub(super) fn remark(&mut self, words: String) {
        self.remarks.push(words);
    }

    /// Plan B ended, or was ended, while it was to answer: that alone fails the drill.
    pub(super) fn planb_fell(&mut self, end: &End) {
        self.falls.push(Trial {
            what: "planb_ended".into(),
            ok: false,
            detail: format!("Plan B {} during the drill.", end.words()),
            took_ms: 0,
        });
    }

    pub(super) fn over(&mut self, now: Duration, back: bool) {
        (self.over, self.back) = (Some(now), back);
    }

    /// Whether the main program is away on purpose.
    pub(super) fn stands(&self) -> bool {
        self.stage != Stage::Returning
    }

    pub(super) fn until(&self) -> Option<Duration> {
        match self.stage {
            Stage::Standing(until) => Some(until),
            Stage::Ending | Stage::Returning => None,
        }
    }

    /// Whether the main program came back.
    pub fn is_back(&self) -> bool {
        self.back
    }

    /// The proof, with what was tried; `wall` is what the wall shows at `now`.
    pub fn proof(&self, mut trials: Vec<Trial>, now: Duration, wall: Moment) -> Drill {
        let between = |from: Option<Duration>, to: Option<Duration>| {
            let span = to?.saturating_sub(from?);
            u64::try_from(span.as_millis()).ok()
        };
        let on_wall = |at: Duration| {
            let ago = i64::try_from(now.saturating_sub(at).as_millis()).unwrap_or(i64::MAX);
            Moment(wall.0.saturating_sub(ago))
        };
        trials.extend(self.falls.iter().cloned());
        let main_after_ms = between(self.main_started, self.main_well);
        trials.push(Trial {
            what: "return".into(),
            ok: self.back && self.remarks.is_empty(),
            detail: if self.remarks.is_empty() && self.back {
                "The main program is back.".to_owned()
            } else {
                self.remarks.join(" ")
            },
            took_ms: main_after_ms.unwrap_or_default(),
        });
        let planb_after_ms = between(self.main_ended, self.planb_up);
        Drill {
            id: self.wish.id,
            by: self.wish.by.clone(),
            began_at: on_wall(self.began),
            seconds: self.wish.seconds,
            planb_after_ms,
            main_after_ms,
            ended_at: self.over.filter(|_| self.back).map(on_wall),
            // One trial alone is the return's: then nothing of Plan B was tried.
            ok: planb_after_ms.is_some() && trials.len() > 1 && trials.iter().all(|t| t.ok),
            trials,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::HeldClock;

    fn place() -> (tempfile::TempDir, Place) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path().join("planb"));
        place.create().unwrap();
        (folder, place)
    }

    fn some_wish(at: i64) -> DrillWish {
        DrillWish { id: Id::new(Moment(at)), seconds: 20, by: "chef".into(), at: Moment(at) }
    }

    #[test]
    fn a_wish_needs_a_watchdog_and_sense() {
        let (_folder, place) = place();
        let clock = HeldClock::at(Moment(1_000_000));
        let code = |seconds| wish(&place, &clock, seconds, "chef").unwrap_err().code;
        assert_eq!((code(9), code(601)), ("drill_seconds", "drill_seconds"));
        assert_eq!(code(10), "watchdog_absent");
        let _lock = lock::Lock::take(&place).unwrap();
        assert_eq!(code(10), "drill_not_now", "nothing is known of the main program");
    }

    #[test]
    fn a_wish_is_taken_once_and_not_when_it_is_old() {
        let (_folder, place) = place();
        let lay = |wish: &DrillWish| {
            write_private(&place.drill_wish(), &serde_json::to_vec(wish).unwrap()).unwrap();
        };
        let mut asked = some_wish(5_000);
        asked.seconds = 1_000_000;
        lay(&asked);
        asked.seconds = SECONDS_MAX;
        assert_eq!(waiting(&place, Moment(6_000)), Some(asked.clone()));
        assert_eq!(waiting(&place, Moment(35_000)), None);
        assert_eq!(waiting(&place, Moment(4_000)), None);
        assert_eq!(take(&place, Moment(6_000)), Some(asked));
        assert_eq!(take(&place, Moment(6_000)), None);
        lay(&some_wish(5_000));
        assert_eq!(take(&place, Moment(35_000)), None);
        assert!(!place.drill_wish().exists());
        lay(&some_wish(7_000));
        assert_eq!(take(&place, Moment(6_000)), None, "of a time to come");
        assert!(!place.drill_wish().exists());
        fs::write(place.drill_wish(), "{").unwrap();
        assert_eq!(take(&place, Moment(6_000)), None);
    }

    #[test]
    fn a_drill_whose_watchdog_died_is_proved_as_failed_once() {
        let (_folder, place) = place();
        write_private(&place.node_key(), &SigningKey::make().unwrap()).unwrap();
        assert_eq!(broken_off(&place), None);
        let asked = some_wish(5_000);
        write_private(&place.drill_wish(), &serde_json::to_vec(&asked).unwrap()).unwrap();
        take(&place, Moment(6_000)).unwrap();
        let drill = broken_off(&place).unwrap();
        assert_eq!((drill.id, drill.ok, drill.ended_at), (asked.id, false, None));
        prove(&place, &drill).unwrap();
        assert_eq!(held(&place), [(drill, true)]);
        assert_eq!(broken_off(&place), None);
    }

    #[test]
    fn a_proof_is_signed_by_the_node_and_a_changed_one_is_not() {
        let (_folder, place) = place();
        let course = Course::begin(some_wish(5_000), Duration::ZERO);
        let drill = course.proof(Vec::new(), Duration::from_secs(9), Moment(9_000));
        assert!(!drill.ok);
        prove(&place, &drill).unwrap();
        assert_eq!(held(&place), [(drill.clone(), false)]);
        write_private(&place.node_key(), &SigningKey::make().unwrap()).unwrap();
        prove(&place, &drill).unwrap();
        assert_eq!(held(&place), [(drill.clone(), true)]);
        let path = place.drills().join(format!("{}.json", drill.id));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("chef", "chez")).unwrap();
        assert!(!held(&place)[0].1);
    }

    #[test]
    fn a_course_measures_what_happened() {
        let at = Duration::from_millis;
        let mut course = Course::begin(some_wish(0), at(1_000));
        assert!(course.stands() && course.planb_up(at(1_001)).is_none());
        course.main_ended(at(1_500), &End::Code(0));
        assert_eq!(course.until(), Some(at(21_500)));
        assert!(course.planb_up(at(1_620)).is_some() && course.planb_up(at(1_700)).is_none());
        assert!(!course.return_at(at(21_499)) && course.return_at(at(21_500)));
        course.main_well(at(22_000));
        course.over(at(27_000), true);
        let tried = Trial { what: "health".into(), ok: true, detail: String::new(), took_ms: 1 };
        let drill = course.proof(vec![tried], at(28_000), Moment(100_000));
        assert_eq!((drill.planb_after_ms, drill.main_after_ms), (Some(120), Some(500)));
        assert_eq!((drill.began_at, drill.ended_at), (Moment(73_000), Some(Moment(99_000))));
        assert!(drill.ok, "{drill:?}");
        let mut fallen = course.clone();
        fallen.planb_fell(&End::Signal(9));
        let proof = fallen.proof(drill.trials.clone(), at(28_000), Moment(100_000));
        assert!(!proof.ok && proof.trials.iter().any(|t| t.what == "planb_ended"), "{proof:?}");
        course.remark("Odd.".into());
        assert!(!course.proof(drill.trials, at(28_000), Moment(100_000)).ok);
    }
}
