//! The watchdog's decisions: what happened goes in, what is to be done comes out, nothing else.
//!
//! It owns no process, no clock and no file. Three rules hold whatever happens: there are never two
//! main programs at once; Plan B stands in from the main program's death until it is steadily well
//! again; and a watchdog that was not told to end always has a next thing to try.

use std::time::Duration;

use super::drill::Course;
use super::pace::{Due, Pace};
use super::runner::{End, Life, Runner, Why};
use super::state::{DrillWish, Phase, WatchdogState};
use crate::base::clock::Moment;
use crate::domains::continuity::settings::WatchdogSettings;

/// The pause before Plan B is started again after it ended by itself.
const PLANB_PAUSE: Duration = Duration::from_millis(200);
/// The longest such pause: it is all that answers, so it is never rested.
const PLANB_PAUSE_MAX: Duration = Duration::from_secs(5);

/// What the machine goes by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Missed answers in a row after which a process counts as hung.
    pub misses: u32,
    /// How long the main program may take to its first answer.
    pub start: Duration,
    /// How long it has to be well before Plan B steps back.
    pub steady: Duration,
    /// How long a process may take to end when asked to.
    pub stop: Duration,
    /// Whether the main program can be asked how it is; else it is well while it lives.
    pub main_asked: bool,
    /// Whether Plan B can be.
    pub planb_asked: bool,
    /// The first pause before a new start, the longest, and the cap of starts per window.
    pub pause: Duration,
    /// The longest such pause.
    pub pause_max: Duration,
    /// Starts within the window.
    pub starts: u32,
    /// The window.
    pub window: Duration,
}

impl Rules {
    /// The rules of the settings, for processes that can be asked.
    pub fn of(settings: &WatchdogSettings) -> Self {
        Self {
            misses: settings.misses.max(1),
            start: Duration::from_secs(settings.start_seconds),
            steady: Duration::from_millis(settings.steady_milliseconds),
            stop: Duration::from_secs(settings.stop_seconds),
            main_asked: true,
            planb_asked: true,
            pause: Duration::from_millis(settings.pause_milliseconds),
            pause_max: Duration::from_secs(settings.pause_max_seconds),
            starts: settings.starts.max(1),
            window: Duration::from_secs(settings.window_minutes.saturating_mul(60)),
        }
    }
}

/// One of the two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The main program.
    Main,
    /// Plan B.
    PlanB,
}

/// A signal that is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// End, please.
    Term,
    /// Ctrl-C.
    Int,
    /// The terminal is gone, or: read your settings again.
    Hup,
    /// Whatever the main program makes of it.
    Usr1,
    /// Likewise.
    Usr2,
}

impl Sign {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Hup => "HUP",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time passed.
    Tick,
    /// A process was started.
    Started(Whom, u32),
    /// It could not be started.
    Unstartable(Whom, String),
    /// It answered that it is well.
    Answered(Whom),
    /// It did not answer, or said that it is unwell.
    Missed(Whom, String),
    /// It ended.
    Ended(Whom, End),
    /// The watchdog got a signal.
    Got(Sign),
    /// A drill is asked for.
    Wished(DrillWish),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Start the process; the answer is `Started` or `Unstartable`.
    Start(Whom),
    /// Give it a signal.
    Give(Whom, Sign),
    /// Kill it with everything it started.
    Kill(Whom),
    /// Try Plan B in a drill.
    Try(DrillWish),
    /// A drill is over: write its proof.
    Prove(Box<Course>),
    /// A drill cannot be held now, and why.
    Decline(DrillWish, String),
    /// Tell and write down: what, the process, in words.
    Note(&'static str, Option<u32>, String),
    /// End the watchdog with this code.
    End(u8),
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    main: Runner,
    planb: Runner,
    pace: Pace,
    planb_pace: Pace,
    main_due: Option<Due>,
    planb_due: Option<Duration>,
    /// Whether Plan B is to answer: from a death, a hang or a drill until the main program is steady.
    stands_in: bool,
    stopping: bool,
    ended: bool,
    hung_up: Option<Duration>,
    drill: Option<Course>,
    last_end: Option<String>,
    /// Why the watchdog ends, in words.
    farewell: String,
    phase: Phase,
    since: Duration,
}

impl Machine {
    /// A machine that begins by starting the main program.
    pub fn new(rules: Rules, now: Duration) -> Self {
        let pace = Pace::new(rules.pause, rules.pause_max, rules.starts, rules.window);
        Self {
            pace,
            planb_pace: Pace::new(PLANB_PAUSE, PLANB_PAUSE_MAX, u32::MAX, PLANB_PAUSE),
            rules,
            main: Runner::Gone,
            planb: Runner::Gone,
            main_due: Some(Due { at: now, resting: false }),
            planb_due: None,
            stands_in: false,
            stopping: false,
            ended: false,
            hung_up: None,
            drill: None,
            last_end: None,
            farewell: String::new(),
            phase: Phase::Starting,
            since: now,
        }
    }

    /// Takes in what happened at `now` (since boot), and answers what is to be done, in order.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Act> {
        let mut acts = Vec::new();
        if self.ended {
            return acts;
        }
        match event {
            Event::Tick => {}
            Event::Started(whom, pid) => self.started(now, whom, pid, &mut acts),
            Event::Unstartable(whom, why) => {
                self.ended(now, whom, &End::NeverBegan(why), &mut acts);
            }
            Event::Answered(whom) => self.answered(now, whom, &mut acts),
            Event::Missed(whom, why) => self.missed(now, whom, &why, &mut acts),
            Event::Ended(whom, end) => self.ended(now, whom, &end, &mut acts),
            Event::Got(sign) => self.got(now, sign, &mut acts),
            Event::Wished(wish) => self.wished(now, wish, &mut acts),
        }
        self.settle(now, &mut acts);
        let phase = self.found_phase();
        if phase != self.phase {
            (self.phase, self.since) = (phase, now);
        }
        acts
    }

    /// When the machine wants to be asked again, if nothing happens before.
    pub fn wake_at(&self) -> Option<Duration> {
        if self.ended {
            return None;
        }
        let main = self.main.here();
        let first_answer = main
            .filter(|life| self.rules.main_asked && life.answered.is_none() && life.lives())
            .map(|life| life.began.saturating_add(self.rules.start));
        let steady = main.filter(|life| !life.steady && life.lives());
        let steady = steady.and_then(|life| life.well_since);
        let standing = self.drill.as_ref().and_then(Course::until);
        [
            self.main.kill_at(),
            self.planb.kill_at(),
            first_answer,
            steady.map(|since| since.saturating_add(self.rules.steady)),
            standing,
            self.main_due.map(|due| due.at).filter(|_| self.main.is_gone()),
            self.planb_due,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What is going on.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The state for files and commands; `wall` is what the wall shows at `now`.
    pub fn state(&mut self, now: Duration, wall: Moment, of: &Identity) -> WatchdogState {
        let on_wall = |at: Duration| {
            let ago = Moment(wall.0.saturating_sub(millis(now.saturating_sub(at))));
            ago.plus(at.saturating_sub(now))
        };
        WatchdogState {
            phase: self.phase,
            since: on_wall(self.since),
            pid: of.pid,
            began_at: of.began_at,
            target: of.target.clone(),
            main_pid: self.main.here().map(|life| life.pid),
            planb_pid: self.planb.here().map(|life| life.pid),
            starts_in_window: self.pace.in_window(now),
            starts_max: self.rules.starts,
            next_start_at: self.main_due.filter(|_| !self.stopping).map(|due| on_wall(due.at)),
            last_end: self.last_end.clone(),
            drill_until: self.drill.as_ref().and_then(Course::until).map(on_wall),
        }
    }

    // --- what happened ------------------------------------------------------------------------

    fn started(&mut self, now: Duration, whom: Whom, pid: u32, acts: &mut Vec<Act>) {
        let asked = match whom {
            Whom::Main => self.rules.main_asked,
            Whom::PlanB => self.rules.planb_asked,
        };
        *self.runner(whom) = Runner::Here(Life::new(pid, now));
        let what = if whom == Whom::Main { "main_started" } else { "planb_started" };
        acts.push(Act::Note(what, Some(pid), String::new()));
        if !asked {
            self.answered(now, whom, acts);
        }
        if self.stopping {
            self.ask_to_end(now, whom, Why::Stop, acts);
        } else if whom == Whom::PlanB && !self.stands_in {
            self.ask_to_end(now, whom, Why::HandBack, acts);
        }
    }

    fn answered(&mut self, now: Duration, whom: Whom, acts: &mut Vec<Act>) {
        let Some(life) = self.runner(whom).here_mut() else { return };
        life.misses = 0;
        life.well_since.get_or_insert(now);
        let first = life.answered.is_none();
        life.answered.get_or_insert(now);
        let (pid, took) = (life.pid, now.saturating_sub(life.began).as_millis());
        if !first {
            return;
        }
        match whom {
            // That it was started says nothing: it is well once it has lived for a while.
            Whom::Main if !self.rules.main_asked => {}
            Whom::Main => {
                let words = format!("It is well {took} ms after its start.");
                self.main_well(now, pid, words, acts);
            }
            Whom::PlanB => {
                self.planb_pace.well();
                if let Some(wish) = self.drill.as_mut().and_then(|course| course.planb_up(now)) {
                    acts.push(Act::Try(wish));
                }
            }
        }
    }

    fn main_well(&mut self, now: Duration, pid: u32, words: String, acts: &mut Vec<Act>) {
        if let Some(course) = &mut self.drill {
            course.main_well(now);
        }
        acts.push(Act::Note("main_healthy", Some(pid), words));
    }

    fn missed(&mut self, now: Duration, whom: Whom, why: &str, acts: &mut Vec<Act>) {
        let most = self.rules.misses;
        let Some(life) = self.runner(whom).here_mut() else { return };
        // Until its first answer a process is starting, which has a limit of its own.
        if life.answered.is_none() || !life.lives() {
            return;
        }
        life.misses = life.misses.saturating_add(1);
        if !life.steady {
            life.well_since = None;
        }
        if life.misses < most {
            return;
        }
        let words = format!("{most} answers in a row are missing. {why}");
        match whom {
            Whom::Main => self.hung(now, words, acts),
            Whom::PlanB => {
                let pid = life.pid;
                // It has flushed all that it acknowledged; waiting for a last word helps nobody.
                life.end(Why::Hung, now);
                acts.push(Act::Note("planb_died", Some(pid), words));
            }
        }
    }

    /// The main program counts as hung: Plan B first, then its end.
    fn hung(&mut self, now: Duration, words: String, acts: &mut Vec<Act>) {
        let pid = self.main.here().map(|life| life.pid);
        self.stand_in(now, acts);
        self.ask_to_end(now, Whom::Main, Why::Hung, acts);
        acts.push(Act::Note("main_hung", pid, words));
    }

    fn ended(&mut self, now: Duration, whom: Whom, end: &End, acts: &mut Vec<Act>) {
        let life = match std::mem::replace(self.runner(whom), Runner::Gone) {
            Runner::Here(life) => Some(life),
            Runner::Gone | Runner::Coming => None,
        };
        let why = life.as_ref().and_then(|life| life.ending.as_ref()).map(|ending| ending.why);
        let pid = life.map(|life| life.pid);
        match whom {
            Whom::Main => self.main_ended(now, pid, why, end, acts),
            Whom::PlanB => self.planb_ended(now, pid, why, end, acts),
        }
    }

    fn main_ended(
        &mut self,
        now: Duration,
        pid: Option<u32>,
        why: Option<Why>,
        end: &End,
        acts: &mut Vec<Act>,
    ) {
        self.last_end = Some(end.words());
        if self.stopping {
            return;
        }
        if why == Some(Why::Drill) && self.drill.is_some() {
            self.stand_in(now, acts);
            if let Some(course) = &mut self.drill {
                course.main_ended(now, end);
            }
            return;
        }
        let hung_up = self.hung_up.is_some_and(|at| now <= at.saturating_add(self.rules.stop));
        if why.is_none() && (end.is_good() || hung_up && end.is_hang_up()) {
            // It ended because it, or the terminal's owner, wanted to: so does its watchdog.
            self.farewell = format!("The main program {}.", end.words());
            self.stop(now, acts);
            return;
        }
        self.stand_in(now, acts);
        self.pace.failed();
        let due = self.pace.next(now);
        self.main_due = Some(due);
        if let Some(course) = &mut self.drill {
            course.remark(format!("The main program {} on its way back.", end.words()));
        }
        acts.push(Act::Note("main_died", pid, sentence(&end.words())));
        if due.resting {
            let rest = due.at.saturating_sub(now).as_secs();
            let words = format!(
                "{} starts within {} s: the next is in {rest} s.",
                self.rules.starts,
                self.rules.window.as_secs()
            );
            acts.push(Act::Note("resting", None, words));
        }
    }

    fn planb_ended(
        &mut self,
        now: Duration,
        pid: Option<u32>,
        why: Option<Why>,
        end: &End,
        acts: &mut Vec<Act>,
    ) {
        if self.stopping {
            return;
        }
        if !self.stands_in {
            self.handed_back(now, acts);
            return;
        }
        if why == Some(Why::HandBack) {
            // It was stepping back when the main program died again.
            self.planb_due = Some(now);
            return;
        }
        if let Some(course) = &mut self.drill {
            course.planb_fell(end);
        }
        self.planb_pace.failed();
        self.planb_due = Some(self.planb_pace.next(now).at);
        acts.push(Act::Note("planb_died", pid, sentence(&end.words())));
    }

    fn got(&mut self, now: Duration, sign: Sign, acts: &mut Vec<Act>) {
        let pid = self.main.here().map(|life| life.pid);
        acts.push(Act::Note("signal", pid, format!("{} came and is handed on.", sign.name())));
        if pid.is_some() {
            acts.push(Act::Give(Whom::Main, sign));
        }
        match sign {
            Sign::Term | Sign::Int if !self.stopping => self.stop_given(now, sign, acts),
            // Whoever presses Ctrl-C twice does not want to wait.
            Sign::Int => {
                for runner in [&mut self.main, &mut self.planb] {
                    if let Some(life) = runner.here_mut() {
                        life.end(Why::Stop, now);
                    }
                }
            }
            Sign::Hup => self.hung_up = Some(now),
            Sign::Term | Sign::Usr1 | Sign::Usr2 => {}
        }
    }

    fn wished(&mut self, now: Duration, wish: DrillWish, acts: &mut Vec<Act>) {
        if self.phase != Phase::Healthy || self.drill.is_some() || self.stopping {
            let words = "A drill needs a main program that is well, and no other drill.".to_owned();
            acts.push(Act::Decline(wish, words));
            return;
        }
        let words = format!("{} asks for {} s of Plan B.", wish.by, wish.seconds);
        acts.push(Act::Note("drill_began", self.main.here().map(|life| life.pid), words));
        self.drill = Some(Course::begin(wish, now));
        self.ask_to_end(now, Whom::Main, Why::Drill, acts);
    }

    // --- what follows -------------------------------------------------------------------------

    /// Does what is due at `now`.
    fn settle(&mut self, now: Duration, acts: &mut Vec<Act>) {
        for whom in [Whom::Main, Whom::PlanB] {
            if let Some(life) = self.runner(whom).here_mut()
                && life.is_to_be_killed(now)
            {
                acts.push(Act::Kill(whom));
            }
        }
        if self.stopping {
            if self.main.is_gone() && self.planb.is_gone() {
                self.ended = true;
                acts.push(Act::Note("watchdog_ended", None, std::mem::take(&mut self.farewell)));
                acts.push(Act::End(0));
            }
            return;
        }
        self.settle_main(now, acts);
        if self.stands_in && self.planb.is_gone() && self.planb_due.is_none_or(|at| at <= now) {
            self.start_planb(now, acts);
        }
    }

    fn settle_main(&mut self, now: Duration, acts: &mut Vec<Act>) {
        let rules = self.rules.clone();
        if let Some(life) = self.main.here_mut().filter(|life| life.lives()) {
            if life.answered.is_none() && life.began.saturating_add(rules.start) <= now {
                let words = format!("No answer within {} s of its start.", rules.start.as_secs());
                self.hung(now, words, acts);
            } else if life.well_since.is_some_and(|at| at.saturating_add(rules.steady) <= now)
                && !life.steady
            {
                life.steady = true;
                let pid = life.pid;
                if !rules.main_asked {
                    self.main_well(now, pid, "It runs; nothing asks how it is.".into(), acts);
                }
                self.pace.well();
                self.hand_back(now, acts);
            }
            return;
        }
        if !self.main.is_gone() {
            return;
        }
        let drilled = match &mut self.drill {
            Some(course) if course.stands() => {
                if !course.return_at(now) {
                    return;
                }
                true
            }
            _ => false,
        };
        if !drilled {
            // Nothing is due only where a rule was forgotten: never to give up does not hang on that.
            let due = *self.main_due.get_or_insert_with(|| self.pace.next(now));
            if due.at > now {
                return;
            }
            self.pace.started(now);
        }
        self.main_due = None;
        self.main = Runner::Coming;
        acts.push(Act::Start(Whom::Main));
    }

    /// From here on Plan B answers. It is started before anything is told: every millisecond counts.
    fn stand_in(&mut self, now: Duration, acts: &mut Vec<Act>) {
        let newly = !std::mem::replace(&mut self.stands_in, true);
        if newly && self.planb.is_gone() {
            self.start_planb(now, acts);
        }
    }

    fn start_planb(&mut self, now: Duration, acts: &mut Vec<Act>) {
        self.planb_due = None;
        self.planb_pace.started(now);
        self.planb = Runner::Coming;
        acts.push(Act::Start(Whom::PlanB));
    }

    fn hand_back(&mut self, now: Duration, acts: &mut Vec<Act>) {
        if !std::mem::replace(&mut self.stands_in, false) {
            return;
        }
        self.planb_due = None;
        if self.planb.is_gone() {
            self.handed_back(now, acts);
        } else {
            self.ask_to_end(now, Whom::PlanB, Why::HandBack, acts);
        }
    }

    fn handed_back(&mut self, now: Duration, acts: &mut Vec<Act>) {
        let pid = self.main.here().map(|life| life.pid);
        acts.push(Act::Note("handed_back", pid, "The main program answers again.".into()));
        self.end_drill(now, true, acts);
    }

    fn end_drill(&mut self, now: Duration, back: bool, acts: &mut Vec<Act>) {
        if let Some(mut course) = self.drill.take() {
            course.over(now, back);
            acts.push(Act::Note("drill_ended", None, String::new()));
            acts.push(Act::Prove(Box::new(course)));
        }
    }

    fn ask_to_end(&mut self, now: Duration, whom: Whom, why: Why, acts: &mut Vec<Act>) {
        let kill_at = now.saturating_add(self.rules.stop);
        let Some(life) = self.runner(whom).here_mut() else { return };
        if life.lives() {
            life.end(why, kill_at);
            acts.push(Act::Give(whom, Sign::Term));
        }
    }

    fn stop(&mut self, now: Duration, acts: &mut Vec<Act>) {
        self.stopping = true;
        (self.main_due, self.planb_due) = (None, None);
        if let Some(course) = &mut self.drill {
            course.remark("The watchdog was told to end.".into());
        }
        self.end_drill(now, false, acts);
        self.ask_to_end(now, Whom::Main, Why::Stop, acts);
        self.ask_to_end(now, Whom::PlanB, Why::Stop, acts);
    }

    /// The same, when the main program has been handed the word already.
    fn stop_given(&mut self, now: Duration, sign: Sign, acts: &mut Vec<Act>) {
        if let Some(life) = self.main.here_mut().filter(|life| life.lives()) {
            life.end(Why::Stop, now.saturating_add(self.rules.stop));
        }
        self.farewell = format!("{} asked for it.", sign.name());
        self.stop(now, acts);
    }

    fn found_phase(&self) -> Phase {
        let asked = self.rules.main_asked;
        let well = |life: &Life| if asked { life.answered.is_some() } else { life.steady };
        let well = self.main.here().is_some_and(|life| well(life) && life.lives());
        let here = !self.main.is_gone() && self.main.here().is_none_or(Life::lives);
        if self.ended {
            Phase::Stopped
        } else if self.stopping {
            Phase::Stopping
        } else if self.drill.as_ref().is_some_and(Course::stands) {
            Phase::Drill
        } else if !self.stands_in && self.planb.is_gone() {
            if well { Phase::Healthy } else { Phase::Starting }
        } else if here {
            Phase::Returning
        } else if self.main_due.is_some_and(|due| due.resting) {
            Phase::Resting
        } else {
            Phase::PlanB
        }
    }

    fn runner(&mut self, whom: Whom) -> &mut Runner {
        match whom {
            Whom::Main => &mut self.main,
            Whom::PlanB => &mut self.planb,
        }
    }
}

/// Whose state it is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The watchdog's process.
    pub pid: u32,
    /// When it began.
    pub began_at: Moment,
    /// The command it watches.
    pub target: Vec<String>,
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Words as a sentence about the process.
fn sentence(words: &str) -> String {
    format!("It {words}.")
}

#[cfg(test)]
mod tests;
