//! The scheduler with a model whose every token can be told beforehand.

use std::cell::RefCell;
use std::rc::Rc;

use super::scheduler::{Memory, Model, Part, Ready, Rules, STEP_TOKENS_MAX, Scheduler, Writes};
use crate::base::fault::Fault;
use crate::engines::generation::options::{Event, Options, Reason, Usage};

/// Tokens are bytes; this one ends an answer.
const END: u32 = 0;
/// The model breaks when it reads this token.
const POISON: u32 = 255;

/// A memory that knows its text, so that a mistake in what is kept shows in what is written.
#[derive(Clone)]
struct Text {
    tokens: Vec<u32>,
    cuts: bool,
}

impl Memory for Text {
    fn truncate(&mut self, len: usize) -> bool {
        if len < self.tokens.len() && !self.cuts {
            return false;
        }
        self.tokens.truncate(len);
        true
    }

    fn clear(&mut self) {
        self.tokens.clear();
    }

    fn fork(&self, len: usize) -> Option<Self> {
        let tokens = self.tokens.get(..len)?.to_vec();
        self.cuts.then_some(Self { tokens, cuts: true })
    }
}

/// Goes on with a letter that depends on the whole text so far; with the end behind enough `.`s.
struct Toy {
    cuts: bool,
    /// Tokens of each part of each step.
    steps: Rc<RefCell<Vec<Vec<usize>>>>,
}

fn next(text: &[u32]) -> u32 {
    let sum = text.iter().enumerate().fold(7_u64, |sum, (at, token)| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*token) + at as u64)
    });
    if text.ends_with(&[46, 46]) { END } else { 97 + u32::try_from(sum % 26).unwrap() }
}

impl Model for Toy {
    type Cache = Text;

    fn new_cache(&self) -> Text {
        Text { tokens: Vec::new(), cuts: self.cuts }
    }

    fn forward(&self, parts: Vec<Part<'_, Text>>) -> Result<Vec<Vec<f32>>, Fault> {
        self.steps.borrow_mut().push(parts.iter().map(|part| part.tokens.len()).collect());
        let mut all = Vec::new();
        for part in parts {
            assert!(!part.tokens.is_empty());
            if part.tokens.contains(&POISON) {
                return Err(Fault::broken("computing", "poison"));
            }
            part.cache.tokens.extend(part.tokens);
            if part.logits {
                // More rows than there are tokens: the last one is the highest and must not be drawn.
                let mut logits = vec![0.0; 300];
                logits[299] = 9.0;
                logits[next(&part.cache.tokens) as usize] = 5.0;
                all.push(logits);
            }
        }
        Ok(all)
    }
}

struct Bytes;

impl Writes for Bytes {
    fn push(&mut self, token: u32) -> String {
        char::from_u32(token).unwrap().into()
    }

    fn finish(&mut self) -> String {
        String::new()
    }
}

type Told = Rc<RefCell<Vec<(u64, Event)>>>;
type Steps = Rc<RefCell<Vec<Vec<usize>>>>;

struct Bench<T: FnMut(u64, Event)> {
    scheduler: Scheduler<Toy, T>,
    told: Told,
    steps: Steps,
}

fn bench(slots: usize, cuts: bool) -> Bench<impl FnMut(u64, Event)> {
    let (told, steps) = (Told::default(), Steps::default());
    let rules = Rules { context: 2000, ends: vec![END], vocabulary: 256 };
    let (hears, counts) = (Rc::clone(&told), Rc::clone(&steps));
    let tell = move |job, event| hears.borrow_mut().push((job, event));
    Bench {
        scheduler: Scheduler::new(Toy { cuts, steps: counts }, rules, slots, tell),
        told,
        steps,
    }
}

impl<T: FnMut(u64, Event)> Bench<T> {
    fn start(&mut self, job: u64, scope: &str, prompt: &str, options: Options) {
        let prompt = prompt.bytes().map(u32::from).collect();
        self.start_tokens(job, scope, prompt, options);
    }

    fn start_tokens(&mut self, job: u64, scope: &str, prompt: Vec<u32>, options: Options) {
        let (scope, writer) = (scope.to_owned(), Box::new(Bytes));
        self.scheduler.start(Ready { job, scope, prompt, options, seed: 0, grammar: None, writer });
    }

    fn run(&mut self) {
        let mut steps = 0;
        while self.scheduler.busy() {
            self.scheduler.step();
            steps += 1;
            assert!(steps < 100_000, "it never ends");
        }
    }

    fn text(&self, job: u64) -> String {
        let told = self.told.borrow();
        let texts = told.iter().filter(|(own, _)| *own == job).filter_map(|(_, e)| match e {
            Event::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    fn ended(&self, job: u64) -> (Reason, Usage) {
        let told = self.told.borrow();
        let mut ends = told.iter().filter(|(own, _)| *own == job).filter_map(|(_, e)| match e {
            Event::Ended { reason, usage } => Some((*reason, *usage)),
            _ => None,
        });
        let end = ends.next().unwrap_or_else(|| panic!("{job} did not end: {told:?}"));
        assert!(ends.next().is_none());
        end
    }
}

fn greedy(max_tokens: usize) -> Options {
    Options { max_tokens, temperature: 0.0, ..Options::default() }
}

/// What the toy writes when nobody disturbs it.
fn alone(prompt: &str, count: usize) -> String {
    let mut text: Vec<u32> = prompt.bytes().map(u32::from).collect();
    let from = text.len();
    for _ in 0..count {
        let token = next(&text);
        text.push(token);
    }
    text[from..].iter().map(|t| char::from_u32(*t).unwrap()).collect()
}

#[test]
fn many_at_once_write_what_each_writes_alone() {
    for cuts in [true, false] {
        let mut bench = bench(3, cuts);
        let prompts: Vec<String> =
            (0..9_usize).map(|n| format!("{n}{}", "question ".repeat(n * 20))).collect();
        for (job, prompt) in (0..).zip(&prompts) {
            let count = 20 + usize::try_from(job).unwrap();
            bench.start(job, &format!("u{}", job % 2), prompt, greedy(count));
        }
        bench.run();
        for (job, prompt) in (0..).zip(&prompts) {
            let count = 20 + usize::try_from(job).unwrap();
            assert_eq!(bench.text(job), alone(prompt, count), "{job}");
            let (reason, usage) = bench.ended(job);
            assert_eq!((reason, usage.completion_tokens), (Reason::Length, count));
            assert_eq!(usage.prompt_tokens, prompt.len());
        }
    }
}

#[test]
fn a_long_prompt_starves_nobody() {
    let mut bench = bench(2, true);
    bench.start(1, "a", "court", greedy(50));
    bench.scheduler.step();
    bench.start(2, "b", &"x".repeat(1000), greedy(5));
    for written in 2..=5 {
        bench.scheduler.step();
        assert_eq!(bench.text(1).len(), written, "the running answer goes on with every step");
    }
    let steps = bench.steps.borrow().clone();
    assert_eq!(steps[1], [1, STEP_TOKENS_MAX - 1]);
    assert!(steps.iter().all(|parts| parts.iter().sum::<usize>() <= STEP_TOKENS_MAX));
    bench.run();
    assert_eq!(bench.text(2), alone(&"x".repeat(1000), 5));
    assert!(bench.steps.borrow().iter().any(|parts| parts == &[1, 1]), "both in one pass");
}

#[test]
fn short_prompts_share_a_step() {
    let mut bench = bench(3, true);
    for job in 0..3 {
        bench.start(job, "a", "une question courte", greedy(2));
    }
    bench.scheduler.step();
    assert_eq!(*bench.steps.borrow(), [[19, 19, 19]]);
}

#[test]
fn the_next_turn_reads_only_what_is_new() {
    let mut bench = bench(2, true);
    let first = "Bonjour, une question.";
    bench.start(1, "conversation", first, greedy(10));
    bench.run();
    let second = format!("{first}{} Et la suite ?", bench.text(1));
    bench.start(2, "conversation", &second, greedy(10));
    bench.start(3, "another", &second, greedy(10));
    bench.run();
    // The last token of an answer was written, but never read.
    assert_eq!(bench.ended(2).1.reused_tokens, first.len() + 9);
    assert_eq!(bench.ended(3).1.reused_tokens, 0, "another scope finds nothing");
    assert_eq!(bench.text(2), bench.text(3));
    // The same prompt again: all but its last token is there.
    bench.start(4, "conversation", &second, greedy(10));
    bench.run();
    assert_eq!(bench.ended(4).1.reused_tokens, second.len() - 1);
    assert_eq!(bench.text(4), bench.text(2));
}

#[test]
fn a_busy_text_lends_its_beginning() {
    let mut bench = bench(2, true);
    bench.start(1, "c", "un long début, puis a", greedy(30));
    bench.scheduler.step();
    bench.scheduler.step();
    bench.start(2, "c", "un long début, puis b", greedy(30));
    bench.run();
    assert_eq!(bench.ended(2).1.reused_tokens, "un long début, puis ".len());
    assert_eq!(bench.text(1), alone("un long début, puis a", 30));
    assert_eq!(bench.text(2), alone("un long début, puis b", 30));
}

#[test]
fn a_family_that_cannot_cut_reuses_whole_texts_only() {
    let mut bench = bench(1, false);
    bench.start(1, "c", "début", greedy(5));
    bench.run();
    bench.start(2, "c", &format!("début{} suite", &bench.text(1)[..4]), greedy(5));
    bench.run();
    assert_eq!(bench.ended(2).1.reused_tokens, "début".len() + 4);
    bench.start(3, "c", "début d'autre chose", greedy(5));
    bench.run();
    assert_eq!(bench.ended(3).1.reused_tokens, 0);
    assert_eq!(bench.text(3), alone("début d'autre chose", 5));
}

#[test]
fn the_least_used_place_is_given_away() {
    let mut bench = bench(2, true);
    for (job, scope) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
        bench.start(job, scope, "la même question", greedy(3));
        bench.run();
    }
    assert!(bench.ended(3).1.reused_tokens > 0);
    // "c" took the place of "b", whose last use is longest ago.
    bench.start(5, "a", "la même question", greedy(3));
    bench.run();
    bench.start(6, "b", "la même question", greedy(3));
    bench.run();
    assert!(bench.ended(5).1.reused_tokens > 0);
    assert_eq!(bench.ended(6).1.reused_tokens, 0);
}

#[test]
fn ends_of_every_kind() {
    let mut bench = bench(4, true);
    bench.start(1, "a", "fini..", greedy(10));
    bench.start(2, "b", "rien", greedy(0));
    let whole = alone("arrêt", 20);
    let stop = Options { stop: vec![whole[5..8].to_owned()], ..greedy(20) };
    bench.start(3, "c", "arrêt", stop);
    bench.start(4, "d", &"y".repeat(1990), greedy(100));
    bench.run();
    assert_eq!((bench.ended(1).0, bench.text(1)), (Reason::Stop, String::new()));
    assert_eq!((bench.ended(2).0, bench.ended(2).1.completion_tokens), (Reason::Length, 0));
    assert_eq!((bench.ended(3).0, bench.text(3)), (Reason::Stop, whole[..5].to_owned()));
    // 2,000 tokens of context: 10 more can be read, and one is written behind them.
    assert_eq!((bench.ended(4).0, bench.ended(4).1.completion_tokens), (Reason::Length, 11));
}

#[test]
fn whoever_is_cancelled_leaves_the_others_alone() {
    let mut bench = bench(1, true);
    bench.start(1, "a", "première", greedy(1000));
    bench.start(2, "b", "deuxième", greedy(5));
    bench.start(3, "c", "troisième", greedy(5));
    for _ in 0..4 {
        bench.scheduler.step();
    }
    bench.scheduler.cancel(2);
    bench.scheduler.cancel(1);
    bench.scheduler.cancel(99);
    bench.run();
    assert_eq!((bench.ended(1).0, bench.ended(1).1.completion_tokens), (Reason::Cancelled, 4));
    assert_eq!((bench.ended(2).0, bench.text(2)), (Reason::Cancelled, String::new()));
    assert_eq!(bench.text(3), alone("troisième", 5));
}

#[test]
fn what_breaks_the_model_is_forgotten() {
    let mut bench = bench(2, true);
    bench.start(1, "a", "bonne question", greedy(5));
    bench.start_tokens(2, "a", vec![98, POISON], greedy(5));
    bench.run();
    let failed = |job| {
        let told = bench.told.borrow();
        told.iter().any(|(own, event)| {
            *own == job
                && matches!(event, Event::Failed { code, .. } if code == "generation_failed")
        })
    };
    assert!(failed(1) && failed(2), "whose fault it was cannot be told");
    let mut bench = bench;
    bench.start(3, "a", "bonne question", greedy(5));
    bench.run();
    assert_eq!(bench.ended(3).1.reused_tokens, 0, "nothing of it is trusted");
    assert_eq!(bench.text(3), alone("bonne question", 5));
}
