//! The machine in a world that is made up: what it decides, and what holds whatever happens.

use proptest::prelude::*;

use super::*;
use crate::base::id::Id;
use crate::domains::continuity::watchdog::said::is_listed;

const S: fn(u64) -> Duration = Duration::from_secs;
const MS: fn(u64) -> Duration = Duration::from_millis;

fn rules() -> Rules {
    Rules { misses: 3, starts: 4, window: S(100), ..Rules::of(&WatchdogSettings::default()) }
}

/// A world of two processes that do what they are told at once, unless they hang.
struct World {
    machine: Machine,
    now: Duration,
    pids: u32,
    main: Option<u32>,
    planb: Option<u32>,
    hung: bool,
    given: Vec<(Whom, Sign)>,
    notes: Vec<&'static str>,
    tries: usize,
    proofs: Vec<Course>,
    declined: usize,
    end: Option<u8>,
}

impl World {
    fn new(rules: Rules) -> Self {
        let mut world = Self {
            machine: Machine::new(rules, S(1000)),
            now: S(1000),
            pids: 100,
            main: None,
            planb: None,
            hung: false,
            given: Vec::new(),
            notes: Vec::new(),
            tries: 0,
            proofs: Vec::new(),
            declined: 0,
            end: None,
        };
        world.tell(Event::Tick);
        world
    }

    /// A world whose main program is well.
    fn well() -> Self {
        let mut world = Self::new(rules());
        world.tell(Event::Answered(Whom::Main));
        assert_eq!(world.machine.phase(), Phase::Healthy);
        world
    }

    fn tell(&mut self, event: Event) {
        let mut events = std::collections::VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for act in self.machine.step(self.now, event) {
                events.extend(self.does(act));
            }
        }
    }

    fn does(&mut self, act: Act) -> Option<Event> {
        match act {
            Act::Start(whom) => {
                self.pids += 1;
                let pid = self.pids;
                let slot = self.slot(whom);
                assert!(slot.is_none(), "two of {whom:?} at once");
                *slot = Some(pid);
                return Some(Event::Started(whom, pid));
            }
            Act::Give(whom, sign) => {
                self.given.push((whom, sign));
                let ends = matches!(sign, Sign::Term | Sign::Int);
                if ends && !(whom == Whom::Main && self.hung) && self.slot(whom).take().is_some() {
                    return Some(Event::Ended(whom, End::Code(0)));
                }
            }
            Act::Kill(whom) => {
                if self.slot(whom).take().is_some() {
                    return Some(Event::Ended(whom, End::Signal(9)));
                }
            }
            Act::Note(what, _, said) => {
                assert!(is_listed(&said), "{said}");
                self.notes.push(what);
            }
            Act::Try(_) => self.tries += 1,
            Act::Prove(course) => {
                for trial in course.proof(Vec::new(), self.now, Moment(0)).trials {
                    for said in trial.detail.split_inclusive(". ") {
                        assert!(is_listed(said.trim_end()), "{said}");
                    }
                }
                self.proofs.push(*course);
            }
            Act::Decline(..) => self.declined += 1,
            Act::End(code) => self.end = Some(code),
        }
        None
    }

    fn slot(&mut self, whom: Whom) -> &mut Option<u32> {
        match whom {
            Whom::Main => &mut self.main,
            Whom::PlanB => &mut self.planb,
        }
    }

    fn dies(&mut self, whom: Whom, end: End) {
        if self.slot(whom).take().is_some() {
            self.tell(Event::Ended(whom, end));
        }
    }

    /// Lets time pass; the machine is asked whenever it wants to be, as the keeper does.
    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        let mut at_once = 0;
        while let Some(wake) = self.machine.wake_at().filter(|wake| *wake <= until) {
            at_once = if wake > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 5, "the machine spins at {:?}", self.now);
            self.now = self.now.max(wake);
            self.tell(Event::Tick);
        }
        self.now = until;
    }

    fn phase(&self) -> Phase {
        self.machine.phase()
    }

    /// Answers of both until Plan B is no longer needed.
    fn heal(&mut self) {
        self.hung = false;
        for _ in 0..400 {
            self.pass(S(1));
            for whom in [Whom::Main, Whom::PlanB] {
                if self.slot(whom).is_some() {
                    self.tell(Event::Answered(whom));
                }
            }
        }
    }
}

fn wish(seconds: u64) -> DrillWish {
    DrillWish { id: Id::ZERO, seconds, by: "chef".into(), at: Moment(0) }
}

#[test]
fn a_death_brings_plan_b_at_once_and_a_steady_return_ends_it() {
    let mut world = World::well();
    assert_eq!(world.planb, None);
    world.dies(Whom::Main, End::Signal(9));
    assert!(world.planb.is_some() && world.main.is_none(), "Plan B first");
    assert_eq!(world.phase(), Phase::PlanB);
    world.tell(Event::Answered(Whom::PlanB));
    world.pass(MS(500));
    assert!(world.main.is_some());
    assert_eq!(world.phase(), Phase::Returning);
    world.tell(Event::Answered(Whom::Main));
    world.pass(MS(4_999));
    assert!(world.planb.is_some(), "not before it is steady");
    world.pass(MS(1));
    assert_eq!((world.planb, world.phase()), (None, Phase::Healthy));
    assert_eq!(world.given, [(Whom::PlanB, Sign::Term)]);
    let notes = [
        "main_started",
        "main_healthy",
        "main_died",
        "planb_started",
        "main_started",
        "main_healthy",
        "handed_back",
    ];
    assert_eq!(world.notes, notes);
}

#[test]
fn a_main_program_that_dies_at_once_is_tried_again_within_the_cap_and_for_ever() {
    let mut world = World::new(rules());
    let began = world.now;
    let mut starts = Vec::new();
    while world.now < began + S(350) {
        if world.main.is_some() {
            starts.push(world.now.saturating_sub(began).as_millis());
            world.dies(Whom::Main, End::Code(1));
            assert!(world.planb.is_some());
            // Later the pause alone is longer than what the cap asks for.
            assert_eq!(world.phase() == Phase::Resting, starts.len() == 4, "{starts:?}");
        }
        world.pass(MS(100));
    }
    // Pauses of 0.5, 1 and 2 s, then the window of 100 s; afterwards the pause is longer than that.
    assert_eq!(starts[..5], [0, 500, 1_500, 3_500, 100_000], "{starts:?}");
    assert!(starts.len() > 7, "{starts:?}");
    for four in starts.windows(5) {
        assert!(four[4] - four[0] >= 100_000, "{starts:?}");
    }
}

#[test]
fn a_hung_main_program_is_ended_and_killed_while_plan_b_answers() {
    let mut world = World::well();
    world.pass(S(10));
    world.hung = true;
    for _ in 0..2 {
        world.tell(Event::Missed(Whom::Main, "silent".into()));
        assert!(world.planb.is_none());
    }
    // An answer in between forgives.
    world.tell(Event::Answered(Whom::Main));
    for _ in 0..3 {
        world.tell(Event::Missed(Whom::Main, "silent".into()));
    }
    let old = world.main;
    assert!(world.planb.is_some() && old.is_some());
    assert_eq!(
        (world.phase(), world.given.last()),
        (Phase::PlanB, Some(&(Whom::Main, Sign::Term)))
    );
    world.pass(MS(9_999));
    assert_eq!(world.main, old, "it has its time to end");
    world.hung = false;
    world.pass(S(2));
    assert!(world.main.is_some() && world.main != old);
    assert!(world.notes.contains(&"main_hung"));
}

#[test]
fn a_hung_one_that_ends_well_is_started_again_all_the_same() {
    let mut world = World::well();
    for _ in 0..3 {
        world.tell(Event::Missed(Whom::Main, "silent".into()));
    }
    assert_eq!(world.phase(), Phase::PlanB);
    world.pass(S(1));
    assert_eq!((world.end, world.phase()), (None, Phase::Returning));
}

#[test]
fn one_that_never_answers_after_its_start_is_hung_too() {
    let mut world = World::new(rules());
    for _ in 0..20 {
        world.tell(Event::Missed(Whom::Main, "no socket".into()));
    }
    world.pass(S(179));
    assert_eq!((world.planb, world.phase()), (None, Phase::Starting));
    world.pass(S(1));
    assert!(world.planb.is_some());
}

#[test]
fn an_end_of_its_own_ends_the_watch() {
    let mut world = World::well();
    world.dies(Whom::Main, End::Code(0));
    assert_eq!((world.end, world.planb, world.phase()), (Some(0), None, Phase::Stopped));
    assert_eq!(world.machine.wake_at(), None);
    // From Plan B too: what came back and then ended well wanted to.
    let mut world = World::well();
    world.dies(Whom::Main, End::Code(3));
    world.pass(MS(500));
    world.dies(Whom::Main, End::Code(0));
    assert_eq!((world.end, world.planb), (Some(0), None));
}

#[test]
fn signals_are_handed_on_and_two_of_them_end_the_watch() {
    for sign in [Sign::Usr1, Sign::Usr2, Sign::Hup] {
        let mut world = World::well();
        world.tell(Event::Got(sign));
        assert_eq!((world.given.as_slice(), world.end), (&[(Whom::Main, sign)][..], None));
    }
    for sign in [Sign::Term, Sign::Int] {
        let mut world = World::well();
        world.tell(Event::Got(sign));
        assert_eq!((world.given.as_slice(), world.end), (&[(Whom::Main, sign)][..], Some(0)));
        let mut world = World::well();
        world.dies(Whom::Main, End::Code(1));
        world.tell(Event::Got(sign));
        assert_eq!((world.end, world.planb), (Some(0), None), "while Plan B answers");
    }
}

#[test]
fn a_hang_up_ends_what_dies_of_it_and_nothing_else() {
    let mut world = World::well();
    world.tell(Event::Got(Sign::Hup));
    world.dies(Whom::Main, End::Signal(1));
    assert_eq!(world.end, Some(0));
    let mut world = World::well();
    world.dies(Whom::Main, End::Signal(1));
    assert_eq!((world.end, world.phase()), (None, Phase::PlanB), "nobody hung up");
    let mut world = World::well();
    world.tell(Event::Got(Sign::Hup));
    world.pass(S(60));
    world.dies(Whom::Main, End::Signal(1));
    assert_eq!(world.end, None, "that was long ago");
}

#[test]
fn a_hung_main_program_holds_the_end_up_for_its_time_only_and_twice_ctrl_c_not_at_all() {
    let mut world = World::well();
    world.hung = true;
    world.tell(Event::Got(Sign::Term));
    assert_eq!((world.end, world.phase()), (None, Phase::Stopping));
    world.pass(S(10));
    assert_eq!(world.end, Some(0));
    let mut world = World::well();
    world.hung = true;
    world.tell(Event::Got(Sign::Int));
    assert_eq!(world.end, None);
    world.tell(Event::Got(Sign::Int));
    assert_eq!(world.end, Some(0));
}

#[test]
fn plan_b_is_started_again_when_it_dies_and_killed_when_it_hangs() {
    let mut rules = rules();
    // A main program that stays away.
    rules.pause = S(10_000);
    rules.pause_max = S(10_000);
    let mut world = World::new(rules);
    world.dies(Whom::Main, End::Code(1));
    for round in 0..40 {
        world.dies(Whom::PlanB, End::Code(1));
        world.pass(S(5));
        assert!(world.planb.is_some(), "round {round}");
    }
    world.tell(Event::Answered(Whom::PlanB));
    let old = world.planb;
    for _ in 0..3 {
        world.tell(Event::Missed(Whom::PlanB, "silent".into()));
    }
    world.pass(MS(400));
    assert!(world.planb.is_some() && world.planb != old);
}

#[test]
fn a_death_while_plan_b_steps_back_brings_it_back_without_a_pause() {
    let mut world = World::well();
    world.dies(Whom::Main, End::Code(1));
    world.pass(MS(500));
    world.tell(Event::Answered(Whom::Main));
    // Plan B takes its time to end.
    let (now, mut acts) = (world.now + S(5), Vec::new());
    acts.extend(world.machine.step(now, Event::Tick));
    assert!(acts.contains(&Act::Give(Whom::PlanB, Sign::Term)), "{acts:?}");
    let acts = world.machine.step(now, Event::Ended(Whom::Main, End::Signal(6)));
    assert!(!acts.contains(&Act::Start(Whom::PlanB)), "there is one still");
    let acts = world.machine.step(now, Event::Ended(Whom::PlanB, End::Code(0)));
    assert!(acts.contains(&Act::Start(Whom::PlanB)), "{acts:?}");
}

#[test]
fn a_target_that_cannot_be_asked_is_well_while_it_lives() {
    let mut world = World::new(Rules { main_asked: false, planb_asked: false, ..rules() });
    assert_eq!(world.phase(), Phase::Starting, "nothing tells yet that it lives on");
    world.pass(S(10_000));
    assert_eq!(world.phase(), Phase::Healthy);
    world.dies(Whom::Main, End::Code(1));
    world.pass(MS(500));
    assert_eq!(world.phase(), Phase::Returning);
    world.pass(S(5));
    assert_eq!((world.phase(), world.planb), (Phase::Healthy, None));
}

#[test]
fn what_cannot_be_started_counts_as_dead() {
    let mut machine = Machine::new(rules(), S(0));
    assert_eq!(machine.step(S(0), Event::Tick), [Act::Start(Whom::Main)]);
    let acts = machine.step(S(0), Event::Unstartable(Whom::Main, "no such file".into()));
    assert!(acts.contains(&Act::Start(Whom::PlanB)), "{acts:?}");
    machine.step(S(0), Event::Unstartable(Whom::PlanB, "no such file".into()));
    let wake = machine.wake_at();
    assert_eq!(wake, Some(MS(200)));
    assert_eq!(machine.step(MS(200), Event::Tick), [Act::Start(Whom::PlanB)]);
}

#[test]
fn a_drill_goes_from_end_to_end() {
    let mut world = World::well();
    world.tell(Event::Wished(wish(20)));
    assert_eq!((world.main, world.phase()), (None, Phase::Drill));
    assert!(world.planb.is_some());
    world.tell(Event::Wished(wish(20)));
    assert_eq!(world.declined, 1, "one at a time");
    world.tell(Event::Answered(Whom::PlanB));
    assert_eq!(world.tries, 1);
    world.pass(MS(19_999));
    assert_eq!(world.phase(), Phase::Drill);
    world.pass(MS(1));
    assert_eq!(world.phase(), Phase::Returning);
    world.tell(Event::Answered(Whom::Main));
    world.pass(S(5));
    assert_eq!((world.phase(), world.planb), (Phase::Healthy, None));
    assert!(world.proofs.len() == 1 && world.proofs[0].is_back(), "{:?}", world.proofs);
    // It is no failure: neither pause nor cap know of it.
    let state = world.machine.state(
        world.now,
        Moment(0),
        &Identity { pid: 1, began_at: Moment(0), target: Vec::new() },
    );
    assert_eq!(state.starts_in_window, 1);
}

#[test]
fn a_drill_that_goes_wrong_says_so_and_the_box_comes_back() {
    let mut world = World::well();
    world.tell(Event::Wished(wish(10)));
    world.tell(Event::Answered(Whom::PlanB));
    world.pass(S(10));
    world.dies(Whom::Main, End::Code(1));
    world.heal();
    assert_eq!(world.phase(), Phase::Healthy);
    let proof = world.proofs[0].proof(Vec::new(), world.now, Moment(0));
    assert!(!proof.ok && proof.ended_at.is_some(), "{proof:?}");

    let mut world = World::well();
    world.tell(Event::Wished(wish(10)));
    world.tell(Event::Got(Sign::Term));
    assert_eq!((world.end, world.proofs.len()), (Some(0), 1));
    assert!(!world.proofs[0].is_back());

    let mut world = World::new(rules());
    world.tell(Event::Wished(wish(10)));
    assert_eq!(world.declined, 1, "a main program that starts is not stopped for a drill");
}

#[derive(Debug, Clone)]
enum Chance {
    Pass(u64),
    MainAnswers,
    MainMisses,
    MainDies(u8),
    MainHangs(bool),
    PlanbAnswers,
    PlanbMisses,
    PlanbDies,
    Sign(u8),
    Drill,
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        6 => (0..20_000_u64).prop_map(Chance::Pass),
        6 => Just(Chance::MainAnswers),
        4 => Just(Chance::MainMisses),
        // Never 0, which ends the watch by rule.
        3 => (1..=4_u8).prop_map(Chance::MainDies),
        1 => any::<bool>().prop_map(Chance::MainHangs),
        3 => Just(Chance::PlanbAnswers),
        2 => Just(Chance::PlanbMisses),
        2 => Just(Chance::PlanbDies),
        1 => (0..2_u8).prop_map(Chance::Sign),
        1 => Just(Chance::Drill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens: never two main programs (`does` asserts it), Plan B there or on its way
    /// whenever the main program was lost and is not steadily back, and always a next thing to try.
    #[test]
    fn the_three_rules_hold(chances in prop::collection::vec(chance(), 1..120)) {
        let mut world = World::new(rules());
        for chance in chances {
            match chance {
                Chance::Pass(ms) => world.pass(MS(ms)),
                Chance::MainAnswers if world.main.is_some() && !world.hung => {
                    world.tell(Event::Answered(Whom::Main));
                }
                Chance::MainMisses if world.main.is_some() => {
                    world.tell(Event::Missed(Whom::Main, String::new()));
                }
                Chance::MainDies(code) => world.dies(Whom::Main, End::Code(code.into())),
                Chance::MainHangs(hung) => world.hung = hung,
                Chance::PlanbAnswers if world.planb.is_some() => {
                    world.tell(Event::Answered(Whom::PlanB));
                }
                Chance::PlanbMisses if world.planb.is_some() => {
                    world.tell(Event::Missed(Whom::PlanB, String::new()));
                }
                Chance::PlanbDies => world.dies(Whom::PlanB, End::Signal(11)),
                Chance::Sign(0) => world.tell(Event::Got(Sign::Usr1)),
                Chance::Sign(_) => world.tell(Event::Got(Sign::Hup)),
                Chance::Drill => world.tell(Event::Wished(wish(10))),
                _ => {}
            }
            prop_assert_eq!(world.end, None);
            let lost = !matches!(world.phase(), Phase::Starting | Phase::Healthy);
            let ending_for_drill = world.phase() == Phase::Drill && world.main.is_some();
            if lost && !ending_for_drill && world.planb.is_none() {
                let wake = world.machine.wake_at().unwrap_or(Duration::MAX);
                prop_assert!(wake <= world.now + PLANB_PAUSE_MAX, "nobody answers: {:?}", world.phase());
            }
            if world.main.is_none() {
                let wake = world.machine.wake_at();
                prop_assert!(wake.is_some(), "it gave up in {:?}", world.phase());
            }
        }
        world.heal();
        prop_assert_eq!((world.phase(), world.planb), (Phase::Healthy, None));
    }

    /// A word to end is heard in every state, and at the latest when the time to end is up.
    #[test]
    fn it_can_always_be_ended(chances in prop::collection::vec(0..9_u8, 0..40), hung in any::<bool>()) {
        let mut world = World::new(rules());
        for chance in chances {
            match chance {
                0 => world.dies(Whom::Main, End::Code(1)),
                1 => world.dies(Whom::PlanB, End::Code(1)),
                2 if world.main.is_some() => world.tell(Event::Answered(Whom::Main)),
                3 if world.planb.is_some() => world.tell(Event::Answered(Whom::PlanB)),
                4 if world.main.is_some() => world.tell(Event::Missed(Whom::Main, String::new())),
                5 => world.tell(Event::Wished(wish(10))),
                other => world.pass(MS(u64::from(other) * 700)),
            }
        }
        world.hung = hung;
        world.tell(Event::Got(Sign::Term));
        world.pass(S(10));
        prop_assert_eq!((world.end, world.main, world.planb), (Some(0), None, None));
    }
}

#[test]
fn one_that_nobody_asks_is_well_once_it_has_lived_for_a_while() {
    let mut world = World::new(Rules { main_asked: false, ..rules() });
    world.pass(MS(4_999));
    assert_eq!((world.phase(), world.notes.as_slice()), (Phase::Starting, &["main_started"][..]));
    world.pass(MS(1));
    assert_eq!(world.phase(), Phase::Healthy);
    assert_eq!(world.notes, ["main_started", "main_healthy"]);
}

#[test]
fn a_plan_b_that_falls_in_a_drill_fails_it() {
    let mut world = World::well();
    world.tell(Event::Wished(wish(20)));
    world.tell(Event::Answered(Whom::PlanB));
    world.dies(Whom::PlanB, End::Signal(9));
    world.heal();
    let proof = world.proofs[0].proof(Vec::new(), world.now, Moment(0));
    assert!(!proof.ok && proof.trials[0].what == "planb_ended", "{proof:?}");
    assert!(world.proofs[0].is_back());
}
