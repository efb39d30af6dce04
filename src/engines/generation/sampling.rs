//! From a model's logits to its next token.
//!
//! In this order: penalties, the grammar's mask, `top_k`, `top_p`, `min_p`, temperature, the draw.
//! So the shares that `top_p` and `min_p` speak of are the model's own, before the temperature bends
//! them: the order of llama.cpp.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::options::Options;
use super::wire::named;
use crate::base::fault::Fault;

/// How many of the likeliest tokens are put in order at first when only a share is wanted; four times
/// as many each time that they do not make it up. A whole vocabulary is never sorted.
const FIRST_SORTED: usize = 256;

/// Tokens that may come next, one bit each, the lowest bit of the lowest word first.
#[derive(Clone, Copy)]
pub(super) struct Mask<'a>(pub &'a [u32]);

impl Mask<'_> {
    /// Whether `token` may come.
    pub fn allows(self, token: u32) -> bool {
        let word = self.0.get((token / u32::BITS) as usize).copied().unwrap_or_default();
        word & (1 << (token % u32::BITS)) != 0
    }
}

/// A token and its logit.
type Candidate = (f32, u32);

/// Draws the tokens of one answer.
pub(super) struct Sampler {
    temperature: f32,
    top_p: f64,
    top_k: usize,
    min_p: f32,
    repeat_penalty: f32,
    repeat_last: usize,
    presence_penalty: f32,
    frequency_penalty: f32,
    chance: Chance,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// A sampler for `options`; `seed` is where chance begins when they name none.
    pub fn new(options: &Options, seed: u64) -> Self {
        Self {
            temperature: options.temperature,
            top_p: f64::from(options.top_p),
            top_k: options.top_k,
            min_p: options.min_p,
            repeat_penalty: options.repeat_penalty,
            repeat_last: options.repeat_last,
            presence_penalty: options.presence_penalty,
            frequency_penalty: options.frequency_penalty,
            chance: Chance::new(options.seed.unwrap_or(seed)),
            candidates: Vec::new(),
        }
    }

    /// The token that comes after `written`, the answer so far without its prompt: words of the
    /// documents that it is to quote are not held against it.
    ///
    /// # Errors
    /// `generation_failed` when a logit is no number, or when nothing is allowed.
    pub fn draw(
        &mut self,
        logits: &mut [f32],
        written: &[u32],
        allowed: Option<Mask<'_>>,
    ) -> Result<u32, Fault> {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(failed("The model computed something that is no number."));
        }
        self.penalise(logits, written);
        let nothing = || failed("Nothing that the answer may go on with is left.");
        let all = (0_u32..).zip(logits.iter()).map(|(token, logit)| (*logit, token));
        let all = all.filter(|(_, token)| allowed.is_none_or(|mask| mask.allows(*token)));
        if self.temperature <= 0.0 || self.top_k == 1 {
            let best = all.min_by(likelier);
            return best.map(|(_, token)| token).ok_or_else(nothing);
        }
        self.candidates.clear();
        self.candidates.extend(all);
        self.keep_count();
        self.keep_share();
        self.keep_near_best();
        self.pick().ok_or_else(nothing)
    }

    /// Makes tokens of the last so many less likely.
    fn penalise(&self, logits: &mut [f32], written: &[u32]) {
        let nothing = self.repeat_penalty.to_bits() == 1_f32.to_bits()
            && self.presence_penalty == 0.0
            && self.frequency_penalty == 0.0;
        if nothing {
            return;
        }
        let recent = written.len().saturating_sub(self.repeat_last);
        let mut counts = HashMap::new();
        for token in written.iter().skip(recent) {
            *counts.entry(*token).or_insert(0_u32) += 1;
        }
        for (token, count) in counts {
            let Some(logit) = logits.get_mut(token as usize) else { continue };
            // Dividing a negative logit would make the token likelier.
            if *logit > 0.0 {
                *logit /= self.repeat_penalty;
            } else {
                *logit *= self.repeat_penalty;
            }
            *logit -= self.presence_penalty + self.frequency_penalty * count as f32;
        }
    }

    /// `top_k`.
    fn keep_count(&mut self) {
        if self.top_k > 0 && self.top_k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(self.top_k - 1, likelier);
            self.candidates.truncate(self.top_k);
        }
    }

    /// `top_p`: the likeliest that together make up the share; the one that completes it belongs to it.
    fn keep_share(&mut self) {
        if self.top_p >= 1.0 {
            return;
        }
        let best = best(&self.candidates);
        let weight = |(logit, _): &Candidate| f64::from(*logit - best).exp();
        let wanted = self.candidates.iter().map(weight).sum::<f64>() * self.top_p;
        let (mut sum, mut from, mut sorted) = (0.0, 0, FIRST_SORTED.min(self.candidates.len()));
        while let Some(rest) = self.candidates.get_mut(from..).filter(|rest| !rest.is_empty()) {
            let step = (sorted - from).min(rest.len());
            if step < rest.len() {
                rest.select_nth_unstable_by(step, likelier);
            }
            let (next, _) = rest.split_at_mut(step);
            next.sort_unstable_by(likelier);
            for (at, candidate) in next.iter().enumerate() {
                sum += weight(candidate);
                if sum >= wanted {
                    self.candidates.truncate(from + at + 1);
                    return;
                }
            }
            (from, sorted) = (sorted, sorted.saturating_mul(4).min(self.candidates.len()));
        }
    }

    /// `min_p`: those at least so likely as a part of the likeliest, which stays in any case.
    fn keep_near_best(&mut self) {
        if self.min_p > 0.0 {
            let least = best(&self.candidates) + self.min_p.min(1.0).ln();
            self.candidates.retain(|(logit, _)| *logit >= least);
        }
    }

    /// Draws one of those that are left, as likely as the temperature makes it.
    fn pick(&mut self) -> Option<u32> {
        let best = best(&self.candidates);
        let temperature = f64::from(self.temperature);
        let weight = |(logit, _): &Candidate| (f64::from(*logit - best) / temperature).exp();
        // Whatever order selecting left them in: the same seed is to give the same token.
        self.candidates.sort_unstable_by_key(|(_, token)| *token);
        let mut left = self.chance.part() * self.candidates.iter().map(weight).sum::<f64>();
        for candidate in &self.candidates {
            left -= weight(candidate);
            if left < 0.0 {
                return Some(candidate.1);
            }
        }
        // Rounding may leave a crumb: it belongs to the last that has any weight.
        self.candidates.iter().rev().find(|c| weight(c) > 0.0).map(|(_, token)| *token)
    }
}

/// The likelier first; of equals, the lower number.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "sorting compares by reference")]
fn likelier(a: &Candidate, b: &Candidate) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

fn best(candidates: &[Candidate]) -> f32 {
    candidates.iter().map(|(logit, _)| *logit).fold(f32::NEG_INFINITY, f32::max)
}

fn failed(message: &str) -> Fault {
    named("generation_failed", message)
}

/// Chance that can be repeated: xoshiro256++ by Blackman and Vigna, begun by their `SplitMix64`
/// (<https://prng.di.unimi.it>, public domain). Nothing secret depends on it.
struct Chance([u64; 4]);

impl Chance {
    fn new(seed: u64) -> Self {
        let mut state = seed;
        Self([(); 4].map(|()| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        }))
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// At least 0, less than 1.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Options {
        Options { temperature: 1.0, top_p: 1.0, top_k: 0, seed: Some(1), ..Options::default() }
    }

    /// Logits of these shares.
    #[expect(clippy::cast_possible_truncation, reason = "a logit needs no more places")]
    fn logits(shares: &[f64]) -> Vec<f32> {
        shares.iter().map(|share| share.ln() as f32).collect()
    }

    fn drawn(options: &Options, shares: &[f64], draws: usize) -> Vec<usize> {
        let mut sampler = Sampler::new(options, 0);
        let mut counts = vec![0; shares.len()];
        for _ in 0..draws {
            counts[sampler.draw(&mut logits(shares), &[], None).unwrap() as usize] += 1;
        }
        counts
    }

    /// Pearson's statistic of what was drawn against what was to be expected.
    fn chi_square(counts: &[usize], shares: &[f64]) -> f64 {
        let draws = counts.iter().sum::<usize>() as f64;
        let parts = counts.iter().zip(shares).filter(|(_, share)| **share > 0.0);
        parts.map(|(n, share)| (*n as f64 - draws * share).powi(2) / (draws * share)).sum()
    }

    #[test]
    fn chance_is_the_published_generator() {
        // The first outputs of the authors' C code for the seed 0.
        let mut chance = Chance::new(0);
        assert_eq!(chance.0[0], 0xE220_A839_7B1D_CDAF, "SplitMix64's first");
        let mut counted = Chance([1, 2, 3, 4]);
        let first = [41_943_041_u64, 58_720_359, 3_588_806_011_781_223];
        assert_eq!([counted.next(), counted.next(), counted.next()], first);
        assert!((0..1000).all(|_| (0.0..1.0).contains(&chance.part())));
    }

    #[test]
    fn draws_follow_the_model() {
        let shares = [0.5, 0.2, 0.15, 0.1, 0.05];
        // 18.47 is passed by one in a thousand of honest samplers with four degrees of freedom.
        assert!(chi_square(&drawn(&plain(), &shares, 20_000), &shares) < 18.47);
        let hot = Options { temperature: 2.0, ..plain() };
        let bent: Vec<f64> = shares.iter().map(|s: &f64| s.sqrt()).collect();
        let sum: f64 = bent.iter().sum();
        let bent: Vec<f64> = bent.iter().map(|s| s / sum).collect();
        let counts = drawn(&hot, &shares, 20_000);
        assert!(chi_square(&counts, &bent) < 18.47, "{counts:?}");
        assert!(chi_square(&counts, &shares) > 100.0, "the test can fail");
    }

    #[test]
    fn cuts_keep_the_likeliest() {
        let shares = [0.05, 0.5, 0.1, 0.2, 0.15];
        let kept = |options: &Options| -> Vec<usize> {
            let counts = drawn(options, &shares, 5_000);
            (0..counts.len()).filter(|token| counts[*token] > 0).collect()
        };
        assert_eq!(kept(&Options { top_k: 2, ..plain() }), [1, 3]);
        assert_eq!(kept(&Options { top_p: 0.6, ..plain() }), [1, 3], "the one that completes it");
        assert_eq!(kept(&Options { top_p: 0.0, ..plain() }), [1]);
        assert_eq!(kept(&Options { min_p: 0.25, ..plain() }), [1, 3, 4]);
        // The temperature comes last: what is cut does not depend on it.
        assert_eq!(kept(&Options { top_p: 0.6, temperature: 5.0, ..plain() }), [1, 3]);
        // The share is one of what top_k left: 0.5 of 0.7.
        assert_eq!(kept(&Options { top_k: 2, top_p: 0.7, ..plain() }), [1]);
        let three = Options { top_k: 3, ..plain() };
        let renormalised = [0.0, 0.5 / 0.85, 0.0, 0.2 / 0.85, 0.15 / 0.85];
        assert!(chi_square(&drawn(&three, &shares, 20_000), &renormalised) < 13.8);
    }

    #[test]
    fn a_share_of_a_flat_vocabulary_reaches_past_the_first_sorted() {
        let options = Options { top_p: 0.5, ..plain() };
        let mut sampler = Sampler::new(&options, 0);
        // Falling so slowly that half of the weight is thousands of tokens.
        let mut flat: Vec<f32> = (0..10_000_u16).map(|t| f32::from(t) * -0.0001).collect();
        sampler.draw(&mut flat, &[], None).unwrap();
        let weights: Vec<f64> = (0..10_000_u16).map(|t| (f64::from(t) * -0.0001).exp()).collect();
        let (half, mut sum) = (weights.iter().sum::<f64>() / 2.0, 0.0);
        let expected = weights.iter().position(|w| {
            sum += w;
            sum >= half
        });
        let kept = sampler.candidates.len();
        assert!(expected.unwrap().abs_diff(kept) <= 2, "{kept} of {expected:?}");
        assert_eq!(sampler.candidates.last().map(|c| c.1 as usize), Some(kept - 1));
    }

    /// Bit for bit: these sums have no rounding.
    fn same(found: &[f32], wanted: &[f32]) -> bool {
        found.iter().map(|x| x.to_bits()).eq(wanted.iter().map(|x| x.to_bits()))
    }

    #[test]
    fn penalties_know_signs_and_counts() {
        let sampler = |o: Options| Sampler::new(&o, 0);
        let mut logits = [2.0, -2.0, 1.0];
        let repeat = Options { repeat_penalty: 2.0, ..plain() };
        sampler(repeat.clone()).penalise(&mut logits, &[0, 1, 1]);
        assert!(same(&logits, &[1.0, -4.0, 1.0]));
        let mut logits = [2.0, -2.0, 1.0];
        sampler(Options { repeat_last: 1, ..repeat }).penalise(&mut logits, &[0, 1]);
        assert!(same(&logits, &[2.0, -4.0, 1.0]), "only the last one");
        let mut logits = [2.0, -2.0, 1.0];
        let both = Options { presence_penalty: 0.5, frequency_penalty: 0.25, ..plain() };
        sampler(both).penalise(&mut logits, &[0, 1, 1, 9]);
        assert!(same(&logits, &[1.25, -3.0, 1.0]), "and a token that is none is none");
    }

    #[test]
    fn greedy_masks_and_ties() {
        let mut greedy = Sampler::new(&Options { temperature: 0.0, ..plain() }, 0);
        assert_eq!(greedy.draw(&mut [1.0, 3.0, 3.0, 2.0], &[], None).unwrap(), 1, "the lowest id");
        let mask = Mask(&[0b1001]);
        assert_eq!(greedy.draw(&mut [1.0, 3.0, 3.0, 2.0], &[], Some(mask)).unwrap(), 3);
        let none = greedy.draw(&mut [1.0; 4], &[], Some(Mask(&[]))).unwrap_err();
        assert_eq!(none.code, "generation_failed");
        let mut drawing = Sampler::new(&plain(), 0);
        for _ in 0..200 {
            let token = drawing.draw(&mut [1.0, 9.0, 9.0, 2.0], &[], Some(mask)).unwrap();
            assert!(token == 0 || token == 3);
        }
        assert_eq!(drawing.draw(&mut [], &[], None).unwrap_err().code, "generation_failed");
    }

    #[test]
    fn what_is_no_number_is_named() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for temperature in [0.0, 1.0] {
                let mut sampler = Sampler::new(&Options { temperature, ..plain() }, 0);
                let fault = sampler.draw(&mut [0.0, bad], &[], None).unwrap_err();
                assert_eq!(fault.code, "generation_failed");
            }
        }
        // Extreme, but numbers.
        let mut sampler = Sampler::new(&Options { temperature: 1e-30, ..plain() }, 0);
        assert_eq!(sampler.draw(&mut [f32::MAX, f32::MIN], &[], None).unwrap(), 0);
    }

    #[test]
    fn a_seed_repeats_itself() {
        let shares = [0.2; 5];
        let draw = |seed| {
            let options = Options { seed: Some(seed), ..plain() };
            let mut sampler = Sampler::new(&options, 0);
            (0..50).map(|_| sampler.draw(&mut logits(&shares), &[], None).unwrap()).collect()
        };
        let (one, again, other): (Vec<_>, Vec<_>, Vec<_>) = (draw(7), draw(7), draw(8));
        assert!(one == again && one != other);
    }
}
