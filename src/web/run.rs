//! From an async door to a plain verb: the blocking pool, bounded, with panics caught.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::fault::WebFault;
use crate::base::fault::Fault;
use crate::base::tasks::caught;

/// Verbs that run at once. Most of them wait for the store's group commit, so they may outnumber
/// the cores by far; the runtime's own ceiling of blocking threads is 512.
pub const VERBS_AT_ONCE: usize = 256;
/// How long a verb waits for its turn before the caller is told to come back.
pub const TURN_WAIT: Duration = Duration::from_secs(5);
/// When the caller should come back.
const COME_BACK: Duration = Duration::from_secs(1);

static TURNS: Semaphore = Semaphore::const_new(VERBS_AT_ONCE);

/// Runs a verb on a blocking thread and answers what it answers.
///
/// The verb runs to its end even when the caller goes away meanwhile: what it wrote is written.
///
/// # Errors
/// What the verb says; `overloaded` (503) when no turn came within [`TURN_WAIT`]; `internal` (500)
/// when the verb panicked.
pub async fn run<T: Send + 'static>(
    verb: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, WebFault> {
    run_within(&TURNS, TURN_WAIT, verb).await
}

async fn run_within<T: Send + 'static>(
    turns: &'static Semaphore,
    wait: Duration,
    verb: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, WebFault> {
    let turn = match turns.try_acquire() {
        Ok(turn) => turn,
        Err(_) => match timeout(wait, turns.acquire()).await {
            Ok(Ok(turn)) => turn,
            _ => return Err(overloaded().into()),
        },
    };
    let done = spawn_blocking(move || {
        let _turn = turn;
        caught(verb)
    });
    match done.await {
        Ok(answer) => answer.map_err(WebFault::from),
        Err(gone) => Err(Fault::broken("waiting for a verb", gone).into()),
    }
}

fn overloaded() -> Fault {
    Fault::unavailable("overloaded", "The box has too much to do at the moment.")
        .retry_after(COME_BACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_fault_and_the_pool_goes_on() {
        let gone = run::<()>(|| panic!("a slip")).await.unwrap_err();
        assert_eq!(gone.status(), 500);
        assert_eq!(run(|| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_full_pool_says_so_instead_of_queueing_for_ever() {
        static ONE: Semaphore = Semaphore::const_new(1);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let first = run_within(&ONE, TURN_WAIT, move || {
            let _ = held.recv();
            Ok(())
        });
        let second = async {
            tokio::task::yield_now().await;
            let refused = run_within(&ONE, Duration::from_millis(20), || Ok(())).await;
            drop(release);
            refused
        };
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_ok());
        assert_eq!(second.unwrap_err().fault().code, "overloaded");
    }
}
