//! The feed-forward step of a layer: one for all tokens, or many experts of which each token asks a few.

use super::crew;
use super::matrix::{Input, Matrix, multiply};
use super::shape::{Experts, Shape};
use super::source::Source;
use super::steps::gated;
use crate::base::fault::Fault;

/// A layer's feed-forward step.
pub(super) enum Inner {
    One(Box<Expert>),
    Many { router: Matrix, experts: Vec<Expert>, asked: usize },
}

/// What widens a row, bends it and brings it back.
pub(super) struct Expert {
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// The numbers of a pass inside the step.
#[derive(Default)]
pub(super) struct Inside {
    gate: Vec<f32>,
    up: Vec<f32>,
}

impl Inner {
    pub(super) fn load(
        source: &mut Source<'_>,
        name: &impl Fn(&str) -> String,
        shape: &Shape,
    ) -> Result<Self, Fault> {
        let Shape { width, inner, .. } = *shape;
        if let Some(experts) = shape.experts {
            return Self::many(source, name, shape, experts);
        }
        let gate = name("ffn_gate.weight");
        let up = name("ffn_up.weight");
        // Some files keep the two entries as one matrix, the gate first.
        let (gate, up) = if source.has(&gate) {
            (source.matrix(&gate, inner, width)?, source.matrix(&up, inner, width)?)
        } else {
            source.matrix(&up, 2 * inner, width)?.split(inner)?
        };
        Ok(Self::One(Box::new(Expert {
            gate: Matrix::of(gate)?,
            up: Matrix::of(up)?,
            down: Matrix::of(source.matrix(&name("ffn_down.weight"), width, inner)?)?,
        })))
    }

    fn many(
        source: &mut Source<'_>,
        name: &impl Fn(&str) -> String,
        shape: &Shape,
        Experts { count, asked }: Experts,
    ) -> Result<Self, Fault> {
        let Shape { width, inner, .. } = *shape;
        let router = Matrix::of(source.matrix(&name("ffn_gate_inp.weight"), count, width)?)?;
        let mut all = |own: &str, rows, columns| -> Result<Vec<Matrix>, Fault> {
            let stored = source.matrices(&name(own), count, rows, columns)?;
            stored.into_iter().map(Matrix::of).collect()
        };
        let gates = all("ffn_gate_exps.weight", inner, width)?;
        let ups = all("ffn_up_exps.weight", inner, width)?;
        let downs = all("ffn_down_exps.weight", width, inner)?;
        let threes = gates.into_iter().zip(ups).zip(downs);
        let experts = threes.map(|((gate, up), down)| Expert { gate, up, down }).collect();
        Ok(Self::Many { router, experts, asked })
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::One(expert) => expert.bytes(),
            Self::Many { router, experts, .. } => {
                router.bytes() + experts.iter().map(Expert::bytes).sum::<u64>()
            }
        }
    }

    /// What the step makes of rows, into `out`.
    pub(super) fn feed(
        &self,
        shape: &Shape,
        rows: &[f32],
        inside: &mut Inside,
        out: &mut [f32],
    ) -> Result<(), Fault> {
        match self {
            Self::One(expert) => expert.feed(shape, rows, inside, out),
            Self::Many { router, experts, asked } => {
                let shares = shares(shape, router, rows, *asked)?;
                out.fill(0.0);
                for (number, expert) in experts.iter().enumerate() {
                    expert.help(shape, number, &shares, rows, inside, out)?;
                }
                Ok(())
            }
        }
    }
}

/// How much of an expert's answer one row takes.
#[derive(Debug, Clone, Copy)]
struct Share {
    row: usize,
    expert: usize,
    weight: f32,
}

/// Which experts each row asks, and how much it takes of each: the likeliest by a softmax over all,
/// whose shares are then made to add up to one.
fn shares(shape: &Shape, router: &Matrix, rows: &[f32], asked: usize) -> Result<Vec<Share>, Fault> {
    let count = rows.len() / shape.width.max(1);
    let mut scores = vec![0.0; count * router.rows()];
    let input = Input { rows: count, columns: shape.width, floats: rows };
    multiply(&input, &mut [(router, &mut scores)])?;
    let mut shares = Vec::with_capacity(count * asked);
    for (row, scores) in scores.chunks_exact(router.rows().max(1)).enumerate() {
        let mut order: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        order.truncate(asked);
        let top = order.first().map_or(0.0, |(_, score)| *score);
        // The softmax's own sum falls out again when the shares are made to add up to one.
        let sum: f32 = order.iter().map(|(_, score)| (score - top).exp()).sum();
        shares.extend(order.into_iter().map(|(expert, score)| {
            let weight = (score - top).exp() / sum;
            Share { row, expert, weight }
        }));
    }
    Ok(shares)
}

impl Expert {
    fn bytes(&self) -> u64 {
        self.gate.bytes() + self.up.bytes() + self.down.bytes()
    }

    fn feed(
        &self,
        shape: &Shape,
        rows: &[f32],
        inside: &mut Inside,
        out: &mut [f32],
    ) -> Result<(), Fault> {
        let count = rows.len() / shape.width.max(1);
        let Inside { gate, up } = inside;
        gate.resize(count * shape.inner, 0.0);
        up.resize(count * shape.inner, 0.0);
        let input = Input { rows: count, columns: shape.width, floats: rows };
        multiply(&input, &mut [(&self.gate, gate), (&self.up, up)])?;
        crew::rows(gate, shape.inner, |first, rows| {
            let up = up.get(first * shape.inner..).unwrap_or_default();
            gated(rows, up, shape.activation);
        });
        let input = Input { rows: count, columns: shape.inner, floats: gate };
        multiply(&input, &mut [(&self.down, out)])
    }

    /// Adds its answers to the rows that ask it.
    fn help(
        &self,
        shape: &Shape,
        number: usize,
        shares: &[Share],
        rows: &[f32],
        inside: &mut Inside,
        out: &mut [f32],
    ) -> Result<(), Fault> {
        let width = shape.width;
        let own: Vec<&Share> = shares.iter().filter(|share| share.expert == number).collect();
        if own.is_empty() {
            return Ok(());
        }
        let row = |at: usize| rows.get(at * width..(at + 1) * width).unwrap_or_default();
        let asking: Vec<f32> = own.iter().flat_map(|share| row(share.row)).copied().collect();
        let mut answers = vec![0.0; asking.len()];
        self.feed(shape, &asking, inside, &mut answers)?;
        for (share, answer) in own.iter().zip(answers.chunks_exact(width)) {
            let place = out.get_mut(share.row * width..(share.row + 1) * width);
            for (out, number) in place.unwrap_or_default().iter_mut().zip(answer) {
                *out += share.weight * number;
            }
        }
        Ok(())
    }
}
