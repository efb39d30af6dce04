//! The child process that holds a model and writes answers.
//!
//! Three threads and the libraries' own: one takes orders down and never lets the parent wait, one
//! makes prompts ready, and the main one computes.

mod hygiene;
mod load;
mod prompts;
mod room;
mod scheduler;
#[cfg(test)]
mod tests;

use std::io::{self, BufReader, Stdout};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::options::Event;
use super::wire::{self, Order, Told};
use crate::base::clock::MachineClock;
use crate::base::confine;
use crate::base::fault::{Fault, Kind};
use crate::base::health::Health;
use crate::base::tasks::Tasks;
use load::Mind;
use scheduler::{Ready, Rules, Scheduler};

/// A wrong beginning: the parent is not of this program's version, or nobody at all.
const WRONG_BEGINNING: u8 = 2;

/// The stack of the thread that makes prompts ready: what reads templates and schemas calls itself, and
/// a stack that overflows ends everybody's answers. Only what is used of it takes memory.
const PROMPTS_STACK_BYTES: usize = 64 << 20;

/// What the main thread is told between two steps.
enum Message {
    Start(Box<Ready>),
    Cancel(u64),
}

/// The way to the parent. Clones are the same way.
#[derive(Clone)]
struct Voice(Arc<Mutex<Stdout>>);

impl Voice {
    fn tell(&self, told: &Told) {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wire::write(&mut *out, told).is_err() {
            // Nobody listens: there is nobody to write for.
            std::process::exit(0);
        }
    }

    fn event(&self, job: u64, event: Event) {
        self.tell(&Told::Event { job, event });
    }
}

/// What the program does under [`super::VERB`], before anything else starts: loads a model, and
/// writes answers until nobody wants any.
///
/// Exit code 0 when it is not needed any more or said why it cannot load, 2 for a wrong beginning,
/// 1 or 101 when it broke; what it complained of is on standard error.
pub fn generate_main() -> ExitCode {
    hygiene::step_back();
    let tasks = Tasks::new(Health::new(Arc::new(MachineClock)));
    let voice = Voice(Arc::new(Mutex::new(io::stdout())));
    let (taken, orders) = channel();
    if let Err(fault) = tasks.thread("orders", move |_| take(&taken)) {
        return complain(&fault);
    }
    let Ok(Order::Load(order)) = orders.recv() else { return ExitCode::from(WRONG_BEGINNING) };
    if order.version != wire::VERSION {
        let message = "The program was replaced while it ran; start the box again.".to_owned();
        voice.tell(&Told::Refused { code: "generation_failed".into(), message });
        return ExitCode::from(WRONG_BEGINNING);
    }
    let begun = Instant::now();
    let (mind, mut loaded) = match load::load(&order, &tasks) {
        Ok(loaded) => loaded,
        Err(fault) => {
            if let Event::Failed { code, message } = failure(&fault) {
                voice.tell(&Told::Refused { code, message });
            }
            return ExitCode::SUCCESS;
        }
    };
    loaded.load_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let Mind { network, language } = mind;
    let rules = Rules {
        context: loaded.context_tokens,
        ends: language.vocabulary.ends().to_vec(),
        vocabulary: language.tokens,
    };
    if !confine::silence_threads() {
        eprintln!("this kernel has no seccomp; the model's process keeps its other limits only");
    }
    // Said before anything is done for anybody: whatever kills this process from here on, it was not
    // the loading, and the parent must be able to tell.
    voice.tell(&Told::Loaded(loaded));
    let (sender, messages) = channel();
    let speaker = voice.clone();
    let ready = tasks.deep_thread("prompts", PROMPTS_STACK_BYTES, move |_| {
        prompts::attend(&orders, &language, &sender, &speaker);
    });
    if let Err(fault) = ready {
        return complain(&fault);
    }
    let tell = move |job, event| voice.event(job, event);
    compute(Scheduler::new(network, rules, loaded.slots, tell), &messages);
    // The thread that makes prompts ready is gone, and it never goes by itself.
    ExitCode::FAILURE
}

/// Computes until no more messages can come.
fn compute<M: scheduler::Model, T: FnMut(u64, Event)>(
    mut scheduler: Scheduler<M, T>,
    messages: &Receiver<Message>,
) {
    loop {
        if !scheduler.busy() {
            let Ok(message) = messages.recv() else { return };
            heed(&mut scheduler, message);
        }
        loop {
            match messages.try_recv() {
                Ok(message) => heed(&mut scheduler, message),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        scheduler.step();
    }
}

fn heed<M: scheduler::Model, T: FnMut(u64, Event)>(
    scheduler: &mut Scheduler<M, T>,
    message: Message,
) {
    match message {
        Message::Start(ready) => scheduler.start(*ready),
        Message::Cancel(job) => scheduler.cancel(job),
    }
}

/// Takes orders down until the parent wants no more of this process.
fn take(orders: &Sender<Order>) {
    let mut lines = BufReader::new(io::stdin());
    loop {
        match wire::read(&mut lines) {
            Ok(Some(order)) => {
                if orders.send(order).is_err() {
                    return;
                }
            }
            Ok(None) => std::process::exit(0),
            Err(e) => {
                eprintln!("an order was not understood: {e}");
                std::process::exit(i32::from(WRONG_BEGINNING));
            }
        }
    }
}

/// How an answer is told that it fails; the cause goes to standard error, where the log hears it.
fn failure(fault: &Fault) -> Event {
    if fault.cause.is_some() || fault.kind == Kind::Broken {
        eprintln!("{fault}");
    }
    let (code, message) = match fault.kind {
        Kind::Broken => ("generation_failed", "The model could not compute the answer."),
        _ => (fault.code, fault.message.as_str()),
    };
    Event::Failed { code: code.to_owned(), message: message.to_owned() }
}

fn complain(fault: &Fault) -> ExitCode {
    eprintln!("{fault}");
    ExitCode::FAILURE
}
