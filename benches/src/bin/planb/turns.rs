//! Contenders that take turns, and their medians in a table.

use std::time::{Duration, Instant};

/// How long a turn takes at least.
const TURN: Duration = Duration::from_millis(40);

/// One way of doing it.
pub struct Contender<'a> {
    name: &'static str,
    run: Box<dyn FnMut() + 'a>,
    seconds: Vec<f64>,
}

impl<'a> Contender<'a> {
    /// A contender by name, and what it does once.
    pub fn new(name: &'static str, run: impl FnMut() + 'a) -> Self {
        Self { name, run: Box::new(run), seconds: Vec::new() }
    }

    /// Seconds for one time, over a turn.
    fn turn(&mut self) -> f64 {
        let (begun, mut times) = (Instant::now(), 0_u32);
        while begun.elapsed() < TURN || times == 0 {
            (self.run)();
            times += 1;
        }
        begun.elapsed().as_secs_f64() / f64::from(times)
    }
}

/// Lets every contender have a turn in each round; prints their medians beside the first one's.
pub fn race(title: &str, bytes: usize, rounds: usize, contenders: &mut [Contender<'_>]) {
    for contender in contenders.iter_mut() {
        contender.turn();
    }
    for _ in 0..rounds.max(1) {
        for contender in contenders.iter_mut() {
            let seconds = contender.turn();
            contender.seconds.push(seconds);
        }
    }
    println!("{title}\n{:<40}{:>12}{:>12}{:>10}", "", "µs", "MB/s", "times");
    let mut first = None;
    for contender in contenders {
        contender.seconds.sort_unstable_by(f64::total_cmp);
        let middle =
            contender.seconds.get(contender.seconds.len() / 2).copied().unwrap_or_default();
        let of = *first.get_or_insert(middle);
        let rate = bytes as f64 / middle / 1e6;
        println!("{:<40}{:>12.1}{rate:>12.0}{:>10.2}", contender.name, middle * 1e6, middle / of);
    }
    println!();
}
