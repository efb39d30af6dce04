//! How positions are told apart: pairs of numbers of each head, turned by angles that grow with the
//! position, each pair at its own pace.

use super::super::faults::{damaged, unsupported};
use super::super::header::Header;
use super::shape::{Family, Pairing, Shape};
use super::source::Source;
use crate::base::fault::Fault;

/// The paces of the pairs, when a file doesn't say where they start.
const BASE: f64 = 10_000.0;
/// `YaRN`'s limits: pairs that turn more often than the first over the old context are left as they
/// are, those that turn less often than the second are stretched whole.
const TURNS: (f64, f64) = (32.0, 1.0);

/// The turning of one kind of layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rotary {
    pairing: Pairing,
    /// How far each pair turns from one position to the next, in radians.
    paces: Vec<f64>,
    /// What turned numbers are multiplied by.
    magnitude: f64,
}

impl Rotary {
    /// The turning of the layers that see everything, in texts of up to `context` tokens.
    pub(super) fn of(
        source: &mut Source<'_>,
        shape: &Shape,
        context: usize,
    ) -> Result<Self, Fault> {
        let header = source.header();
        let base = header.float(&header.own("rope.freq_base")).unwrap_or(BASE);
        let stretch = Stretch::of(header, shape)?;
        let mut rotary = Self::plain(shape, base)?;
        rotary.magnitude = header.float(&header.own("rope.scaling.attn_factor")).unwrap_or(1.0);
        if let Some(factors) = factors(source, shape, context)? {
            for (pace, factor) in rotary.paces.iter_mut().zip(&factors) {
                *pace /= f64::from(*factor);
            }
        }
        stretch.apply(&mut rotary, base, shape.turned);
        if rotary.paces.iter().any(|pace| !pace.is_finite()) || !rotary.magnitude.is_finite() {
            return Err(damaged("The file turns positions by no number."));
        }
        Ok(rotary)
    }

    /// The turning that starts at `base` and has nothing else about it.
    pub(super) fn plain(shape: &Shape, base: f64) -> Result<Self, Fault> {
        if !(base.is_finite() && base > 0.0) {
            return Err(damaged("The file turns positions by no number."));
        }
        let pace = |pair: usize| base.powf(-2.0 * pair as f64 / shape.turned as f64);
        let paces = (0..shape.turned / 2).map(pace).collect();
        Ok(Self { pairing: shape.pairing, paces, magnitude: 1.0 })
    }

    /// Numbers of a table's row: a cosine and a sine for each pair.
    pub(super) fn row(&self) -> usize {
        self.paces.len() * 2
    }

    /// Writes the cosines and then the sines of one position.
    #[expect(clippy::cast_possible_truncation, reason = "turning needs no more than 32 bits")]
    pub(super) fn write(&self, position: usize, row: &mut [f32]) {
        let (cosines, sines) = row.split_at_mut(self.paces.len().min(row.len()));
        for ((pace, cosine), sine) in self.paces.iter().zip(cosines).zip(sines) {
            let (s, c) = (position as f64 * pace).sin_cos();
            *cosine = (c * self.magnitude) as f32;
            *sine = (s * self.magnitude) as f32;
        }
    }

    /// Turns one head by a row that [`Self::write`] wrote.
    pub(super) fn turn(&self, head: &mut [f32], row: &[f32]) {
        let pairs = self.paces.len();
        let (cosines, sines) = row.split_at(pairs.min(row.len()));
        let angles = cosines.iter().zip(sines);
        let turn = |a: &mut f32, b: &mut f32, c: f32, s: f32| {
            (*a, *b) = (*a * c - *b * s, *a * s + *b * c);
        };
        match self.pairing {
            Pairing::Neighbours => {
                for ([a, b], (c, s)) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                    turn(a, b, *c, *s);
                }
            }
            Pairing::Halves => {
                let (first, second) = head.split_at_mut(pairs.min(head.len()));
                for ((a, b), (c, s)) in first.iter_mut().zip(second).zip(angles) {
                    turn(a, b, *c, *s);
                }
            }
        }
    }
}

/// Divisors of the paces that the file brings along, for pairs of a model stretched to longer texts.
fn factors(
    source: &mut Source<'_>,
    shape: &Shape,
    context: usize,
) -> Result<Option<Vec<f32>>, Fault> {
    let learnt = source.header().own("rope.scaling.original_context_length");
    let learnt = source.header().number(&learnt);
    let long = learnt.is_some_and(|learnt| context as u64 > learnt);
    let own = if long { "rope_factors_long.weight" } else { "rope_factors_short.weight" };
    for name in ["rope_freqs.weight", own] {
        if let Some(factors) = source.vector_if(name, shape.turned / 2)? {
            if factors.iter().any(|factor| !(factor.is_finite() && *factor > 0.0)) {
                return Err(damaged(format!("{name} holds something that divides nothing.")));
            }
            return Ok(Some(factors));
        }
    }
    Ok(None)
}

/// How a model was stretched to texts longer than it had learnt from.
enum Stretch {
    None,
    /// Positions are divided.
    Linear(f64),
    /// Slow pairs are divided, quick ones are not, those between are mixed.
    Yarn {
        factor: f64,
        learnt: f64,
    },
}

impl Stretch {
    fn of(header: &Header, shape: &Shape) -> Result<Self, Fault> {
        let factor = header
            .float(&header.own("rope.scaling.factor"))
            .or_else(|| header.float(&header.own("rope.scale_linear")));
        if factor.is_some_and(|factor| !(factor.is_finite() && factor >= 0.0)) {
            return Err(damaged("The file stretches positions by no number."));
        }
        let factor = factor.filter(|factor| *factor > 0.0).unwrap_or(1.0);
        let kind = header.text(&header.own("rope.scaling.type"));
        let brings = header.tensor("rope_factors_long.weight").is_some();
        Ok(match kind {
            Some("none") => Self::None,
            None | Some("linear") => Self::Linear(factor),
            Some("longrope") if shape.family == Family::Phi3 && brings => Self::None,
            Some("yarn") => {
                let learnt = header.number(&header.own("rope.scaling.original_context_length"));
                let learnt = learnt.unwrap_or(shape.context as u64) as f64;
                Self::Yarn { factor, learnt }
            }
            Some(kind) => {
                return Err(unsupported(format!(
                    "The model's positions are stretched by {kind}; linear and yarn are computed here."
                )));
            }
        })
    }

    fn apply(self, rotary: &mut Rotary, base: f64, turned: usize) {
        match self {
            Self::None => {}
            Self::Linear(factor) => rotary.paces.iter_mut().for_each(|pace| *pace /= factor),
            Self::Yarn { factor, learnt } => {
                let turned = turned as f64;
                // The pair that turns so many times over the context once learnt from.
                let pair = |turns: f64| {
                    turned * (learnt / (turns * std::f64::consts::TAU)).ln() / (2.0 * base.ln())
                };
                let first = pair(TURNS.0).floor().max(0.0);
                let last = pair(TURNS.1).ceil().min(turned - 1.0);
                for (at, pace) in rotary.paces.iter_mut().enumerate() {
                    let along = (at as f64 - first) / (last - first).max(0.001);
                    let kept = 1.0 - along.clamp(0.0, 1.0);
                    *pace *= kept + (1.0 - kept) / factor;
                }
                rotary.magnitude *= 1.0 + 0.1 * factor.ln();
            }
        }
    }
}
