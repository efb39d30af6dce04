//! The dispatcher: one thread on which every answer's pieces pass from who writes to who listens.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use serde::Serialize;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::asking::question;
use super::{Asked, Desk, Piece, closed};
use crate::base::fault::Fault;
use crate::base::tasks::{Handle, Tasks};
use crate::domains::assistant::records::talk::Purpose;
use crate::engines::generation::{Event, Job, Reason, Usage, named};
use crate::engines::upstream::{End, Trouble, Upstream, down, within};
use crate::store::Deed;

/// How long a model may take to notice that nobody listens before its place is given away.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether a server that was down is back.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts the thread.
pub(super) fn start(desk: Arc<Desk>, tasks: &Tasks) -> Result<Handle, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("ilot-writer-io")
        .build()
        .map_err(|e| Fault::broken("starting the writer", e))?;
    tasks.thread("writer", move |handle| {
        runtime.block_on(dispatch(&desk, handle.token()));
        desk.engine.stop();
        // What still runs there waits for a disk or a server; the box does not wait for it.
        runtime.shutdown_background();
    })
}

async fn dispatch(desk: &Arc<Desk>, stop: &CancellationToken) {
    let mut answers = FuturesUnordered::new();
    let mut look = tokio::time::interval(LOOK_EVERY);
    // At most one look at the other server at a time; it must not hold up the answers.
    let mut looking = FuturesUnordered::new();
    loop {
        loop {
            let called = desk.queue().call();
            let Some((ticket, asked)) = called else { break };
            answers.push(answer(desk.clone(), asked, stop.clone()).map(move |()| ticket));
        }
        desk.queue().tell(|asked, place| {
            let _ = asked.pieces.send(Piece::Waiting(place));
        });
        tokio::select! {
            () = stop.cancelled() => break,
            () = desk.bell.notified() => {}
            Some(ticket) = answers.next(), if !answers.is_empty() => desk.queue().done(ticket),
            _ = looking.next(), if !looking.is_empty() => {}
            _ = look.tick(), if desk.remote.is_set() && looking.is_empty() => looking.push(desk.look_after_remote()),
        }
    }
    desk.dispatcher().take();
    for asked in desk.queue().empty() {
        let _ = asked.pieces.send(Piece::Failed(closed()));
    }
    // Each hears of the stop by itself and says so to its listener.
    let _ = timeout(LET_GO_WITHIN, async { while answers.next().await.is_some() {} }).await;
}

/// What is known of an answer while it is written.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The model that writes; none before it began.
    model: Option<String>,
    ended: Option<(Reason, Usage)>,
}

/// Has one question answered, whatever happens, and writes down that it was.
async fn answer(desk: Arc<Desk>, asked: Asked, stop: CancellationToken) {
    let mut course = Course::default();
    let written = AssertUnwindSafe(async {
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(closed()),
            written = write(&desk, &asked, &mut course) => written,
        }
    })
    .catch_unwind()
    .await
    .unwrap_or_else(|_| Err(Fault::broken("writing an answer", "it panicked")));
    let last = match (written, course.ended) {
        (Ok(()), Some((reason, usage))) => Piece::Ended { reason, usage },
        (Ok(()), None) => Piece::Ended { reason: Reason::Cancelled, usage: Usage::default() },
        (Err(fault), _) => Piece::Failed(fault),
    };
    if let Some(model) = course.model {
        journal(&desk, &asked, model, &last).await;
    }
    let _ = asked.pieces.send(last);
}

async fn write(desk: &Arc<Desk>, asked: &Asked, course: &mut Course) -> Result<(), Fault> {
    if asked.unwanted.is_cancelled() {
        return Ok(());
    }
    if let Some(server) = desk.remote.ready(desk.clock.since_boot()) {
        match remote(desk, &server, asked, course).await {
            Ok(()) => return Ok(()),
            // Nothing was written yet, and another one may do better with the same question.
            Err(trouble) if trouble.down && course.model.is_none() => {
                desk.remote_failed(&trouble);
                if desk.models.chosen(Purpose::Language)?.is_none() {
                    return Err(trouble.fault);
                }
                tracing::warn!("the model on this box writes instead: {}", trouble.fault);
            }
            Err(trouble) => {
                desk.remote_failed(&trouble);
                return Err(trouble.fault);
            }
        }
    }
    local(desk, asked, course).await
}

/// Has the model on this box write.
async fn local(desk: &Arc<Desk>, asked: &Asked, course: &mut Course) -> Result<(), Fault> {
    let (events, mut told) = unbounded_channel();
    let (inside, ask) = (desk.clone(), asked.ask.clone());
    // Starting a process and reading the store both block.
    let (name, running) = spawn_blocking(move || {
        let chosen =
            inside.models.chosen(Purpose::Language)?.ok_or_else(|| inside.nothing_writes())?;
        let job = Job { prompt: ask.prompt, options: ask.options, scope: ask.scope };
        Ok::<_, Fault>((chosen.name, inside.engine.start(job, events)?))
    })
    .await
    .map_err(|e| Fault::broken("starting an answer", e))??;
    let mut let_go = None;
    loop {
        let event = tokio::select! {
            biased;
            () = asked.unwanted.cancelled(), if let_go.is_none() => {
                running.cancel();
                let_go = Some(Box::pin(tokio::time::sleep(LET_GO_WITHIN)));
                continue;
            }
            () = async { if let Some(end) = &mut let_go { end.await } }, if let_go.is_some() => {
                return Ok(());
            }
            event = told.recv() => event,
        };
        match event {
            Some(Event::Started { prompt_tokens, reused_tokens }) => {
                course.model = Some(name.clone());
                let model = name.clone();
                asked.tell(Piece::Started { model, prompt_tokens, reused_tokens });
            }
            Some(Event::Text(text)) => asked.tell(Piece::Text(text)),
            Some(Event::Ended { reason, usage }) => {
                course.ended = Some((reason, usage));
                return Ok(());
            }
            Some(Event::Failed { code, message }) => return Err(named(&code, message)),
            None => return Err(named("generation_failed", "The model went away without a word.")),
        }
    }
}

/// Has the other server write.
async fn remote(
    desk: &Arc<Desk>,
    server: &Upstream,
    asked: &Asked,
    course: &mut Course,
) -> Result<(), Trouble> {
    let key = desk.key_of(server).await.map_err(down)?;
    let (way, said) = question(&asked.ask.prompt, &asked.ask.options);
    let key = key.as_ref().map(|key| key.as_str());
    let began = Instant::now();
    let cut = asked.unwanted.cancelled();
    tokio::pin!(cut);
    let mut answer = tokio::select! {
        biased;
        () = &mut cut => return Ok(()),
        answer = server.ask(key, way, said) => answer?,
    };
    let mut usage = Usage::default();
    let mut first = None;
    loop {
        let text = tokio::select! {
            biased;
            () = &mut cut => {
                course.ended = Some((Reason::Cancelled, timed(usage, began, first)));
                return Ok(());
            }
            text = answer.next() => text.map_err(within)?,
        };
        if course.model.is_none() {
            desk.remote_is_up();
            course.model = Some(answer.model().to_owned());
            first = Some(Instant::now());
            let model = answer.model().to_owned();
            asked.tell(Piece::Started { model, prompt_tokens: 0, reused_tokens: 0 });
        }
        let Some(text) = text else { break };
        // Servers send a token at a time; one that says at its end what it wrote is believed instead.
        usage.completion_tokens += 1;
        asked.tell(Piece::Text(text));
    }
    if let Some(counted) = answer.counted() {
        usage.prompt_tokens = counted.prompt_tokens;
        usage.completion_tokens = counted.completion_tokens;
        usage.reused_tokens = counted.reused_tokens();
    }
    let reason = match answer.end() {
        Some(End::Length) => Reason::Length,
        _ => Reason::Stop,
    };
    course.ended = Some((reason, timed(usage, began, first)));
    Ok(())
}

fn timed(usage: Usage, began: Instant, first: Option<Instant>) -> Usage {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let first = first.unwrap_or_else(Instant::now);
    Usage {
        prefill_ms: millis(first.saturating_duration_since(began)),
        decode_ms: millis(first.elapsed()),
        ..usage
    }
}

/// What the journal keeps of an answer: never its words.
#[derive(Serialize)]
struct Line {
    model: String,
    prompt_tokens: usize,
    completion_tokens: usize,
    reason: &'static str,
}

/// Adds the answer's link to the journal; an answer is not lost for want of one.
async fn journal(desk: &Arc<Desk>, asked: &Asked, model: String, last: &Piece) {
    let (reason, usage) = match last {
        Piece::Ended { reason: Reason::Stop, usage } => ("stop", *usage),
        Piece::Ended { reason: Reason::Length, usage } => ("length", *usage),
        Piece::Ended { reason: Reason::Cancelled, usage } => ("cancelled", *usage),
        Piece::Failed(fault) => (fault.code, Usage::default()),
        _ => return,
    };
    let Usage { prompt_tokens, completion_tokens, .. } = usage;
    let deed = Deed::new("llm.write", &model);
    let deed = deed.after(&Line { model, prompt_tokens, completion_tokens, reason });
    let (store, caller) = (desk.store.clone(), asked.caller.clone());
    let kept = spawn_blocking(move || store.write(move |tx| tx.journal(&caller, deed))).await;
    match kept {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::warn!("an answer is missing in the journal: {fault}"),
        Err(e) => tracing::warn!("an answer is missing in the journal: {e}"),
    }
}

impl Asked {
    /// Hands a piece on; who does not listen any more says so by `unwanted`.
    fn tell(&self, piece: Piece) {
        let _ = self.pieces.send(piece);
    }
}
