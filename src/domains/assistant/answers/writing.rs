//! An answer that a model writes, checked sentence by sentence against the passages it was given.

use std::collections::BTreeSet;
use std::fmt;

use super::super::generation::{Piece, Stream};
use super::super::records::talk::Outcome;
use super::super::search::Scales;
use super::citing::{Cited, Citer, Support};
use super::packing::Source;
use super::telling::{Listener, Next, State, Step};
use crate::base::fault::Fault;
use crate::engines::generation::Usage;

/// A sentence with fewer words of its own says too little to be looked for.
const WORDS_MIN: usize = 3;

/// What a model wrote.
#[derive(Debug, Default)]
pub struct Written {
    /// What came of it; empty when nothing of it may be shown.
    pub cited: Cited,
    /// The model.
    pub model: Option<String>,
    /// What it cost.
    pub usage: Usage,
    /// How far it came; none when it never began.
    pub outcome: Option<Outcome>,
    /// Why it broke off.
    pub fault: Option<Fault>,
    /// Whether somebody was shown a part of it.
    pub shown: bool,
}

/// What the sources bear out.
pub struct Bearing<'s> {
    scales: &'s Scales,
    /// Number, language and terms of each.
    sources: Vec<(u32, String, BTreeSet<String>)>,
}

impl fmt::Debug for Bearing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearing").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

impl<'s> Bearing<'s> {
    /// Of these sources.
    pub(in super::super) fn of(scales: &'s Scales, sources: &[Source]) -> Self {
        let sources = sources
            .iter()
            .map(|source| {
                let language = source.edition.language.clone();
                let mut terms: BTreeSet<String> =
                    scales.terms(&source.text, &language).into_iter().collect();
                for above in source.heading.iter().chain([&source.edition.title]) {
                    terms.extend(scales.terms(above, &language));
                }
                (source.number, language, terms)
            })
            .collect();
        Self { scales, sources }
    }

    /// The share of a sentence that a source holds; none when it has fewer than `least` words of its own.
    fn share(
        &self,
        sentence: &str,
        language: &str,
        held: &BTreeSet<String>,
        least: usize,
    ) -> Option<f32> {
        let words = match self.scales.text(sentence, language) {
            Ok(words) => words,
            Err(fault) => {
                tracing::error!("a sentence could not be weighed: {fault}");
                return None;
            }
        };
        if words.len() < least {
            return None;
        }
        // A figure that a source does not hold is not from it, whatever the rest says.
        let is_figure = |term: &str| term.chars().any(|c| c.is_ascii_digit());
        if words.iter().any(|word| is_figure(&word.term) && !held.contains(&word.term)) {
            return Some(0.0);
        }
        let all: f32 = words.iter().map(|word| word.weight).sum();
        let found = words.iter().filter(|word| held.contains(&word.term));
        let found: f32 = found.map(|word| word.weight).sum();
        (all > 0.0).then(|| found / all)
    }
}

impl Support for Bearing<'_> {
    fn best(&self, sentence: &str) -> Option<(u32, f32)> {
        let shares = self.sources.iter().filter_map(|(number, language, held)| {
            Some((*number, self.share(sentence, language, held, WORDS_MIN)?))
        });
        // Of two that hold as much, the first: it was found to be the better.
        shares.fold(None, |best, next| match best {
            Some((_, share)) if share >= next.1 => best,
            _ => Some(next),
        })
    }

    fn share_of(&self, number: u32, sentence: &str) -> Option<f32> {
        let (_, language, held) = self.sources.iter().find(|(known, ..)| *known == number)?;
        // What claims a source must be in it, however short it is.
        self.share(sentence, language, held, 1)
    }
}

/// Takes a model's text in, checks it and passes it on. Nothing is passed on until one sentence is borne
/// out, so that a text of which nothing is never comes before anybody's eyes.
pub fn take(
    mut stream: Stream,
    support: impl Support,
    sources: usize,
    listener: &Listener,
) -> Written {
    let mut citer = Citer::new(support, sources);
    let mut written = Written::default();
    let mut held = String::new();
    let mut writing = false;
    loop {
        match listener.next(&mut stream) {
            Next::Gone => {
                written.outcome = Some(Outcome::Stopped);
                break;
            }
            Next::Over => {
                let broke = || Fault::unavailable("generation_failed", "The model went away.");
                written.fault.get_or_insert_with(broke);
                break;
            }
            Next::Said(Piece::Waiting(before)) => {
                listener.hear(Step::Status(State::Waiting(before)));
            }
            Next::Said(Piece::Started { model, prompt_tokens, reused_tokens }) => {
                written.model = Some(model);
                written.usage = Usage { prompt_tokens, reused_tokens, ..Usage::default() };
                listener.hear(Step::Status(State::Reading));
            }
            Next::Said(Piece::Text(text)) => {
                if !writing {
                    listener.hear(Step::Status(State::Writing));
                    writing = true;
                }
                held.push_str(&citer.push(&text));
                if citer.so_far().supported > 0 && !held.is_empty() {
                    written.shown = true;
                    listener.hear(Step::Token(std::mem::take(&mut held)));
                }
            }
            Next::Said(Piece::Ended { usage, .. }) => {
                written.usage = usage;
                written.outcome = Some(Outcome::Whole);
                break;
            }
            Next::Said(Piece::Failed(fault)) => {
                written.fault = Some(fault);
                break;
            }
        }
    }
    let (rest, outcome) = citer.finish();
    if written.fault.is_some() && written.shown {
        written.outcome = Some(Outcome::Failed);
    }
    if outcome.supported > 0 && written.outcome.is_some() {
        held.push_str(&rest);
        if !held.is_empty() {
            written.shown |= listener.hear(Step::Token(held));
        }
    }
    written.cited = outcome;
    written
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::engines::generation::Reason;

    struct Rest;

    impl Support for Rest {
        fn best(&self, sentence: &str) -> Option<(u32, f32)> {
            Some((1, if sentence.contains("repos") { 1.0 } else { 0.0 }))
        }

        fn share_of(&self, _number: u32, sentence: &str) -> Option<f32> {
            self.best(sentence).map(|(_, share)| share)
        }
    }

    fn ended() -> Piece {
        Piece::Ended {
            reason: Reason::Stop,
            usage: Usage { completion_tokens: 9, ..Usage::default() },
        }
    }

    fn written(pieces: Vec<Piece>) -> (Written, UnboundedReceiver<Step>) {
        let (tell, stream) = unbounded_channel();
        for piece in pieces {
            tell.send(piece).unwrap();
        }
        drop(tell);
        let (steps, heard) = unbounded_channel();
        let written = take(Stream::new(stream, ()), Rest, 2, &Listener::new(steps));
        (written, heard)
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    fn shown(mut heard: UnboundedReceiver<Step>) -> String {
        let mut shown = String::new();
        while let Ok(step) = heard.try_recv() {
            if let Step::Token(text) = step {
                shown.push_str(&text);
            }
        }
        shown
    }

    #[test]
    fn what_is_shown_is_what_is_kept() {
        let (written, heard) = written(vec![
            text("Le repos dure"),
            text(" onze heures. Et"),
            text(" quoi [1"),
            text("9]."),
            ended(),
        ]);
        let wanted = "Le repos dure onze heures. [1] Et quoi.";
        assert_eq!((written.cited.text.as_str(), shown(heard).as_str()), (wanted, wanted));
        assert_eq!((written.outcome, written.usage.completion_tokens), (Some(Outcome::Whole), 9));
        assert_eq!((written.cited.supported, written.cited.unsupported), (1, 1));
    }

    #[test]
    fn a_text_of_which_nothing_is_borne_out_is_never_shown() {
        let (written, heard) =
            written(vec![text("Once upon a time. There was a cat [7]. The end."), ended()]);
        assert_eq!((written.cited.supported, written.shown), (0, false));
        assert_eq!(shown(heard), "");
    }

    #[test]
    fn what_was_written_before_a_failure_is_kept_and_a_failure_before_is_told() {
        let failed = || Piece::Failed(Fault::unavailable("generation_failed", "It died."));
        let (late, _heard) = written(vec![text("Le repos dure onze heures. Le"), failed()]);
        assert_eq!((late.outcome, late.shown), (Some(Outcome::Failed), true));
        assert_eq!(late.cited.text, "Le repos dure onze heures. [1] Le");
        let (early, _heard) = written(vec![failed()]);
        assert_eq!((early.outcome, early.shown), (None, false));
        assert_eq!(early.fault.map(|fault| fault.code), Some("generation_failed"));
    }

    #[test]
    fn whoever_goes_away_stops_it() {
        let (tell, stream) = unbounded_channel();
        let (steps, heard) = unbounded_channel();
        tell.send(text("Le repos dure onze heures. ")).unwrap();
        drop(heard);
        let written = take(Stream::new(stream, ()), Rest, 2, &Listener::new(steps));
        assert_eq!(written.outcome, Some(Outcome::Stopped));
        drop(tell);
    }
}
