//! The hands of the watchdog: real processes, real signals, real questions, for what the machine decides.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::future::{Future, pending};
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::asking::{At, Question};
use super::drill;
use super::leash;
use super::machine::{Act, Event, Identity, Machine, Rules, Sign, Whom};
use super::recorder::Line;
use super::runner::End;
use super::state::{Phase, Seen, Trial, WatchdogState};
use super::trial::{self, Doors, Tried};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::domains::continuity::place::Place;
use crate::domains::continuity::settings::WatchdogSettings;

/// How often a process that has not yet answered is asked: Plan B gives the doors back that soon.
const ASK_WHILE_STARTING: Duration = Duration::from_millis(50);
/// How often it is looked whether a drill is asked for.
const LOOK_FOR_WISHES: Duration = Duration::from_millis(250);
/// What a service manager tells its main process, and no other.
const NOT_HANDED_ON: &[&str] = &["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// How a process is started.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// The folder it works in; none for the watchdog's.
    pub folder: Option<PathBuf>,
    /// Environment variables that it gets besides the watchdog's.
    pub variables: Vec<(OsString, OsString)>,
    /// Whether it may read what the watchdog is given to read.
    pub reads: bool,
}

/// How a process is asked how it is.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Where.
    pub at: At,
    /// The path.
    pub path: String,
}

/// Everything a watchdog needs to know.
pub struct Plan {
    /// This program, which puts what it starts on a leash.
    pub program: PathBuf,
    /// The main program.
    pub main: Recipe,
    /// The main program's command as it is told and written down.
    pub told_as: Vec<String>,
    /// Plan B.
    pub planb: Recipe,
    /// How the main program is asked; none when it is well while it lives.
    pub main_probe: Option<Probe>,
    /// How Plan B is.
    pub planb_probe: Option<Probe>,
    /// The doors that drills go through.
    pub doors: Doors,
    /// Plan B's folder.
    pub place: Place,
    /// The settings.
    pub settings: WatchdogSettings,
    /// Hears every change of the state.
    pub tell: Box<dyn FnMut(&WatchdogState)>,
    /// Is called regularly while the watchdog works, and how often.
    pub beat: (Box<dyn FnMut()>, Duration),
}

/// What a question that was under way found.
enum Found {
    /// How a process is; the number of its life tells whether it is still the same one.
    State(Whom, u64, Result<(), String>),
    Tried(Tried),
    Arrived(Trial),
}

type Asked = Pin<Box<dyn Future<Output = Found>>>;

/// A child, and which one in a row it is.
#[derive(Default)]
struct Watched {
    child: Option<Child>,
    life: u64,
    answered: bool,
}

/// Keeps the main program running until it, or a signal, ends the watch; answers the exit code.
///
/// It is to run on the main thread of its process, which the children's leash is tied to.
///
/// # Errors
/// `internal` when signals cannot be listened for.
pub async fn keep(plan: Plan, clock: Arc<dyn Clock>, recorder: Sender<Line>) -> Result<u8, Fault> {
    let mut signals = Listening::start().map_err(|e| Fault::broken("listening for signals", e))?;
    let mut keeper = Keeper::new(plan, clock, recorder);
    keeper.begin();
    let mut wishes = interval(LOOK_FOR_WISHES);
    let mut beats = interval(keeper.plan.beat.1);
    for ticking in [&mut wishes, &mut beats] {
        ticking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        let wake = keeper.until_wake();
        let event = tokio::select! {
            biased;
            end = ended(&mut keeper.main) => Event::Ended(Whom::Main, end),
            end = ended(&mut keeper.planb) => Event::Ended(Whom::PlanB, end),
            sign = signals.next() => Event::Got(sign),
            Some(found) = keeper.asked.next() => match keeper.found(found) {
                Some(event) => event,
                None => continue,
            },
            () = sleep(wake) => Event::Tick,
            _ = beats.tick() => {
                (keeper.plan.beat.0)();
                continue;
            }
            _ = wishes.tick() => match drill::take(&keeper.plan.place, keeper.clock.now()) {
                Some(wish) => Event::Wished(wish),
                None => continue,
            },
        };
        if let Some(code) = keeper.happened(event) {
            return Ok(code);
        }
    }
}

struct Keeper {
    plan: Plan,
    clock: Arc<dyn Clock>,
    recorder: Sender<Line>,
    machine: Machine,
    identity: Identity,
    main: Watched,
    planb: Watched,
    asked: FuturesUnordered<Asked>,
    told: Option<WatchdogState>,
    tried: Tried,
    /// A drill that is over but for its last trial, and when it was.
    proving: Option<(Box<drill::Course>, Duration)>,
}

impl Keeper {
    fn new(plan: Plan, clock: Arc<dyn Clock>, recorder: Sender<Line>) -> Self {
        let mut rules = Rules::of(&plan.settings);
        rules.main_asked = plan.main_probe.is_some();
        rules.planb_asked = plan.planb_probe.is_some();
        Self {
            machine: Machine::new(rules, clock.since_boot()),
            identity: Identity {
                pid: std::process::id(),
                began_at: clock.now(),
                target: plan.told_as.clone(),
            },
            plan,
            clock,
            recorder,
            main: Watched::default(),
            planb: Watched::default(),
            asked: FuturesUnordered::new(),
            told: None,
            tried: Tried::default(),
            proving: None,
        }
    }

    fn begin(&mut self) {
        let words = self.identity.target.join(" ");
        self.note("watchdog_began", Some(self.identity.pid), format!("It watches: {words}"));
        let _ = self.happened(Event::Tick);
    }

    fn until_wake(&self) -> Duration {
        /// The longest sleep that a timer takes.
        const LONGEST: Duration = Duration::from_hours(1);
        let wake = self.machine.wake_at().unwrap_or(Duration::MAX);
        wake.saturating_sub(self.clock.since_boot()).min(LONGEST)
    }

    /// Lets the machine take in what happened, and does what it says; the exit code once it ends.
    fn happened(&mut self, event: Event) -> Option<u8> {
        let mut events = VecDeque::from([event]);
        let mut end = None;
        while let Some(event) = events.pop_front() {
            for act in self.machine.step(self.clock.since_boot(), event) {
                match act {
                    Act::Start(whom) => events.push_back(self.start(whom)),
                    Act::End(code) => end = Some(code),
                    other => self.act(other),
                }
            }
        }
        if end.is_some() {
            // Nobody will learn any more whether the entry arrived.
            self.write_proof(None);
        }
        self.tell();
        end
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Give(whom, sign) => self.give(whom, sign),
            Act::Kill(whom) => {
                if let Some(pid) = self.pid(whom) {
                    let _ = kill_process_group(pid, Signal::KILL);
                }
            }
            Act::Note(what, pid, detail) => self.note(what, pid, detail),
            Act::Try(wish) => {
                let (doors, place) = (self.plan.doors.clone(), self.plan.place.clone());
                let trials = trial::everything(doors, place, wish);
                self.asked.push(Box::pin(async { Found::Tried(trials.await) }));
            }
            Act::Prove(course) => self.prove(course),
            Act::Decline(wish, why) => {
                self.note("drill_ended", None, why.clone());
                let now = self.clock.since_boot();
                let proof = drill::Course::declined(wish, now, why).proof(
                    Vec::new(),
                    now,
                    self.clock.now(),
                );
                let _ = self.recorder.send(Line::Proof(Box::new(proof)));
            }
            Act::Start(_) | Act::End(_) => {}
        }
    }

    // --- processes ----------------------------------------------------------------------------

    fn start(&mut self, whom: Whom) -> Event {
        let recipe = match whom {
            Whom::Main => &self.plan.main,
            Whom::PlanB => &self.plan.planb,
        };
        let mut command = Command::new(&self.plan.program);
        command.arg(leash::VERB).arg(std::process::id().to_string()).args(&recipe.words);
        command.envs(recipe.variables.iter().map(|(name, value)| (name, value)));
        for name in NOT_HANDED_ON {
            command.env_remove(name);
        }
        if let Some(folder) = &recipe.folder {
            command.current_dir(folder);
        }
        // A group of its own: Ctrl-C reaches the watchdog alone, which hands it on once and in order,
        // and a hung process can be ended with all that it started. Out of the terminal's foreground
        // it may not read there.
        if !recipe.reads || io::stdin().is_terminal() {
            command.stdin(Stdio::null());
        }
        let child = command.process_group(0).spawn();
        let watched = self.watched(whom);
        match child {
            Ok(child) => {
                let pid = child.id().unwrap_or_default();
                *watched = Watched { child: Some(child), life: watched.life + 1, answered: false };
                self.ask(whom);
                Event::Started(whom, pid)
            }
            Err(e) => Event::Unstartable(whom, e.to_string()),
        }
    }

    fn watched(&mut self, whom: Whom) -> &mut Watched {
        match whom {
            Whom::Main => &mut self.main,
            Whom::PlanB => &mut self.planb,
        }
    }

    /// The process, as long as it is not reaped: its number stands for no other until then.
    fn pid(&mut self, whom: Whom) -> Option<Pid> {
        let id = self.watched(whom).child.as_ref()?.id()?;
        Pid::from_raw(i32::try_from(id).ok()?)
    }

    fn give(&mut self, whom: Whom, sign: Sign) {
        let Some(pid) = self.pid(whom) else { return };
        let number = match sign {
            Sign::Term => Signal::TERM,
            Sign::Int => Signal::INT,
            Sign::Hup => Signal::HUP,
            Sign::Usr1 => Signal::USR1,
            Sign::Usr2 => Signal::USR2,
        };
        let _ = kill_process(pid, number);
        if matches!(sign, Sign::Term | Sign::Int | Sign::Hup) {
            // A process that is stopped hears nothing until it goes on.
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    // --- questions ----------------------------------------------------------------------------

    /// Asks a process how it is, after the pause that its age asks for.
    fn ask(&mut self, whom: Whom) {
        let probe = match whom {
            Whom::Main => self.plan.main_probe.clone(),
            Whom::PlanB => self.plan.planb_probe.clone(),
        };
        let Some(probe) = probe else { return };
        let every = Duration::from_millis(self.plan.settings.probe_milliseconds);
        let patience = Duration::from_millis(self.plan.settings.answer_milliseconds);
        let watched = self.watched(whom);
        let pause = if watched.answered { every } else { every.min(ASK_WHILE_STARTING) };
        let life = watched.life;
        self.asked.push(Box::pin(async move {
            sleep(pause).await;
            Found::State(whom, life, probe.ask(patience).await)
        }));
    }

    fn found(&mut self, found: Found) -> Option<Event> {
        match found {
            Found::State(whom, life, state) => {
                let watched = self.watched(whom);
                if watched.life != life || watched.child.is_none() {
                    return None;
                }
                if state.is_ok() && !std::mem::replace(&mut watched.answered, true) {
                    tracing::info!("{whom:?} answers");
                }
                self.ask(whom);
                Some(match state {
                    Ok(()) => Event::Answered(whom),
                    Err(why) => Event::Missed(whom, why),
                })
            }
            Found::Tried(tried) => {
                self.tried = tried;
                None
            }
            Found::Arrived(arrival) => {
                self.write_proof(Some(arrival));
                None
            }
        }
    }

    /// Writes a drill's proof: at once where it was broken off, else after the last trial.
    fn prove(&mut self, course: Box<drill::Course>) {
        let back = course.is_back();
        self.proving = Some((course, self.clock.since_boot()));
        if !back {
            return self.write_proof(None);
        }
        let (console, entry) = (self.plan.doors.console.clone(), self.tried.entry.clone());
        let arrival = trial::arrival(console, entry);
        self.asked.push(Box::pin(async { Found::Arrived(arrival.await) }));
    }

    fn write_proof(&mut self, arrival: Option<Trial>) {
        let Some((course, over)) = self.proving.take() else { return };
        let mut trials = std::mem::take(&mut self.tried).trials;
        trials.extend(arrival.or_else(|| course.is_back().then(trial::unseen)));
        let ago = self.clock.since_boot().saturating_sub(over);
        let wall = Moment(self.clock.now().0 - i64::try_from(ago.as_millis()).unwrap_or(0));
        let proof = course.proof(trials, over, wall);
        let outcome = if proof.ok { "went well" } else { "did not go well" };
        tracing::info!("the drill {} {outcome}", proof.id);
        let _ = self.recorder.send(Line::Proof(Box::new(proof)));
    }

    // --- telling ------------------------------------------------------------------------------

    fn note(&mut self, what: &'static str, pid: Option<u32>, detail: String) {
        match what {
            "main_died" | "main_hung" | "planb_died" | "resting" => {
                tracing::warn!(pid, "{what}: {detail}");
            }
            _ => tracing::info!(pid, "{what}: {detail}"),
        }
        let seen = Seen { at: self.clock.now(), what: what.to_owned(), pid, detail };
        let _ = self.recorder.send(Line::Seen(seen));
    }

    /// Tells the state when it changed.
    fn tell(&mut self) {
        let mut state =
            self.machine.state(self.clock.since_boot(), self.clock.now(), &self.identity);
        if let Some(told) = &self.told {
            // The two clocks are read one after the other: what did not change keeps its moment.
            if told.phase == state.phase {
                state.since = told.since;
            }
            steady(&mut state.next_start_at, told.next_start_at);
            steady(&mut state.drill_until, told.drill_until);
            if *told == state {
                return;
            }
        }
        (self.plan.tell)(&state);
        let _ = self.recorder.send(Line::State(state.clone()));
        self.told = Some(state);
    }
}

/// Keeps the moment that was told when the new one differs by no more than clocks do.
fn steady(new: &mut Option<Moment>, told: Option<Moment>) {
    /// Milliseconds.
    const JITTER: u64 = 250;
    if let (Some(moment), Some(before)) = (*new, told)
        && moment.0.abs_diff(before.0) < JITTER
    {
        *new = told;
    }
}

impl Probe {
    /// Asks; an answer that is no success, or tells of a store that failed, is as bad as none.
    async fn ask(&self, patience: Duration) -> Result<(), String> {
        let answer = Question::get(&self.path).ask(&self.at, patience).await;
        let answer = answer.map_err(|e| format!("{e}."))?;
        if !answer.is_good() {
            return Err(format!("It answered {}.", answer.status));
        }
        match answer.json().get("db_ok") {
            Some(serde_json::Value::Bool(false)) => Err("Its store failed.".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Waits for the end of a child; for ever when there is none. What it left of its group is ended too.
async fn ended(watched: &mut Watched) -> End {
    let Some(child) = &mut watched.child else { return pending().await };
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let status = child.wait().await;
    watched.child = None;
    let end = status.map_or(End::Unknown, end_of);
    // One that ended well may have left something behind on purpose.
    if let Some(group) = group.filter(|_| !end.is_good()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    end
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(code),
        (None, Some(number)) => End::Signal(number),
        (None, None) => End::Unknown,
    }
}

/// The signals that are handed on.
struct Listening {
    term: Signals,
    int: Signals,
    hup: Option<Signals>,
    usr1: Signals,
    usr2: Signals,
}

impl Listening {
    fn start() -> io::Result<Self> {
        // Whoever started the watchdog deaf to it (nohup) wants it to outlive the terminal.
        let deaf = is_ignored(SignalKind::hangup());
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: if deaf { None } else { Some(signal(SignalKind::hangup())?) },
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Sign {
        let hup = async {
            match &mut self.hup {
                Some(hup) => hup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.term.recv() => Sign::Term,
            _ = self.int.recv() => Sign::Int,
            _ = hup => Sign::Hup,
            _ = self.usr1.recv() => Sign::Usr1,
            _ = self.usr2.recv() => Sign::Usr2,
        }
    }
}

/// Whether this process was started with the signal ignored.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default();
    let bit = u32::try_from(kind.as_raw_value()).unwrap_or(1).saturating_sub(1);
    mask.checked_shr(bit).unwrap_or_default() & 1 == 1
}

/// What the phase is called on a service manager's line.
pub fn in_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "the main program starts",
        Phase::Healthy => "the main program is well",
        Phase::PlanB => "Plan B answers; the main program is about to start again",
        Phase::Returning => "Plan B answers; the main program is on its way back",
        Phase::Resting => "Plan B answers; the main program died too often and waits",
        Phase::Drill => "a drill: Plan B answers",
        Phase::Stopping => "ending",
        Phase::Stopped => "ended",
    }
}
