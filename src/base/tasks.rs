//! Loops of the process: named, stoppable, watched; a panic is caught, shown and tried again.
//!
//! A *task* is a loop of the process; a *job* is work on disk.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::health::{Health, Level};

/// The pause after a first failure; it doubles with each further one.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// No pause grows past this.
const PAUSE_MAX: Duration = Duration::from_mins(5);

#[derive(Default)]
struct Signal {
    stopped: bool,
    woken: bool,
}

/// Tells a task to stop, or to look again before its time. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    signal: Arc<(Mutex<Signal>, Condvar)>,
    token: CancellationToken,
}

impl Handle {
    fn new(token: CancellationToken) -> Self {
        Self { signal: Arc::default(), token }
    }

    /// A handle that nobody else holds, for one turn of a task outside of its loop.
    pub fn unattended() -> Self {
        Self::new(CancellationToken::new())
    }

    fn signal(&self) -> MutexGuard<'_, Signal> {
        self.signal.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the task is asked to stop.
    pub fn stopped(&self) -> bool {
        self.signal().stopped
    }

    /// Resolves when the task is asked to stop.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Ends the present pause.
    pub fn wake(&self) {
        self.signal().woken = true;
        self.signal.1.notify_all();
    }

    /// Asks the task to stop.
    pub fn stop(&self) {
        self.signal().stopped = true;
        self.signal.1.notify_all();
        self.token.cancel();
    }

    /// Waits until woken, stopped or `pause` is over; false when stopped.
    pub fn pause(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        let mut signal = self.signal();
        loop {
            if signal.stopped {
                return false;
            }
            if std::mem::take(&mut signal.woken) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            (signal, _) =
                self.signal.1.wait_timeout(signal, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

struct Running {
    name: &'static str,
    handle: Handle,
    thread: JoinHandle<()>,
}

/// The loops of one box. Clones share the list.
#[derive(Clone)]
pub struct Tasks {
    health: Health,
    running: Arc<Mutex<Vec<Running>>>,
    token: CancellationToken,
    tracker: tokio_util::task::TaskTracker,
}

impl Tasks {
    /// No loop yet; failures go to `health` under `task NAME`.
    pub fn new(health: Health) -> Self {
        Self {
            health,
            running: Arc::default(),
            token: CancellationToken::new(),
            tracker: tokio_util::task::TaskTracker::new(),
        }
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `turn` on a thread of its own: at once, then every `period`, sooner when woken.
    ///
    /// `turn` is idempotent and without input, so one path serves the happy and the unhappy day.
    /// Its error or panic is shown in health and tried again after a growing pause.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn every(
        &self,
        name: &'static str,
        period: Duration,
        mut turn: impl FnMut(&Handle) -> Result<(), Fault> + Send + 'static,
    ) -> Result<Handle, Fault> {
        let health = self.health.clone();
        self.thread(name, move |handle| {
            let part = format!("task {name}");
            let mut failures = 0u32;
            loop {
                let pause = match caught(|| turn(handle)) {
                    Ok(()) => {
                        if failures > 0 {
                            health.forget(&part);
                        }
                        failures = 0;
                        period
                    }
                    // Whatever goes wrong while the box closes is the closing's doing.
                    Err(_) if handle.stopped() => return,
                    Err(fault) => {
                        failures += 1;
                        tracing::error!(task = name, failures, "{fault}");
                        health.report(
                            &part,
                            Level::Failed,
                            fault.to_string(),
                            "It tries again by itself; see the log for the cause.",
                        );
                        PAUSE_AFTER_FAILURE.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX)
                    }
                };
                if !handle.pause(pause) {
                    return;
                }
            }
        })
    }

    /// Runs `body` once on a thread of its own; it returns when its handle says stop.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn thread(
        &self,
        name: &'static str,
        body: impl FnOnce(&Handle) + Send + 'static,
    ) -> Result<Handle, Fault> {
        self.begin(name, std::thread::Builder::new(), body)
    }

    /// The same with a stack of so many bytes, for work that goes deep.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn deep_thread(
        &self,
        name: &'static str,
        stack_bytes: usize,
        body: impl FnOnce(&Handle) + Send + 'static,
    ) -> Result<Handle, Fault> {
        self.begin(name, std::thread::Builder::new().stack_size(stack_bytes), body)
    }

    fn begin(
        &self,
        name: &'static str,
        builder: std::thread::Builder,
        body: impl FnOnce(&Handle) + Send + 'static,
    ) -> Result<Handle, Fault> {
        let handle = Handle::new(self.token.child_token());
        let inside = handle.clone();
        let thread = builder
            .name(format!("ilot-{name}"))
            .spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| body(&inside))).is_err() {
                    tracing::error!(task = name, "the task panicked and is gone");
                }
            })
            .map_err(|e| Fault::broken("starting a thread", e))?;
        self.running().push(Running { name, handle: handle.clone(), thread });
        Ok(handle)
    }

    /// Runs a future on the present runtime; it is dropped at its next await when the box stops.
    pub fn future(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let token = self.token.clone();
        drop(self.tracker.spawn(async move {
            tokio::select! {
                () = token.cancelled() => tracing::trace!(task = name, "stopped"),
                () = future => {}
            }
        }));
    }

    /// Resolves when the box stops.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Asks every task to stop, newest first, and waits at most `limit` for all of them.
    pub fn stop(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        self.token.cancel();
        self.tracker.close();
        let mut running = std::mem::take(&mut *self.running());
        for task in running.iter().rev() {
            task.handle.stop();
        }
        while let Some(task) = running.pop() {
            while !task.thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
            if task.thread.is_finished() {
                let _ = task.thread.join();
            } else {
                tracing::warn!(task = task.name, "did not stop in time");
            }
        }
    }
}

/// Runs `body`; a panic becomes a `Broken` fault.
///
/// # Errors
/// What `body` answers, or `Broken` with the panic's words.
pub fn caught<T>(body: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no words".into());
        Err(Fault::broken("a panic was caught", words))
    })
}
