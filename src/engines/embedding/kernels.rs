//! The steps between the matrix products, each one pass over memory, written so that the compiler
//! makes vector code of them for the processor at hand.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, bail};

/// Compiles `$name` three times, for AVX-512, for AVX2 with FMA and for any processor, and calls the
/// best that runs here.
macro_rules! for_this_processor {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $kind:ty),*) = $plain:ident) => {
        $(#[$doc])*
        #[cfg(target_arch = "x86_64")]
        fn $name($($arg: $kind),*) {
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma")]
            fn with_avx512($($arg: $kind),*) {
                $plain::<true>($($arg),*);
            }
            #[target_feature(enable = "avx2,fma")]
            fn with_avx2($($arg: $kind),*) {
                $plain::<true>($($arg),*);
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("fma")
            {
                #[expect(unsafe_code, reason = "the features were found in this processor")]
                unsafe {
                    with_avx512($($arg),*);
                }
            } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                #[expect(unsafe_code, reason = "the features were found in this processor")]
                unsafe {
                    with_avx2($($arg),*);
                }
            } else {
                $plain::<false>($($arg),*);
            }
        }

        $(#[$doc])*
        #[cfg(not(target_arch = "x86_64"))]
        fn $name($($arg: $kind),*) {
            $plain::<false>($($arg),*);
        }
    };
}

pub(super) use for_this_processor;

/// Lanes that sums are kept in, so that they can be added side by side.
pub(super) const LANES: usize = 16;

/// The values of a contiguous f32 tensor.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((from, to))) => Ok(all.get(from..to).unwrap_or_default()),
        _ => bail!("this step works on contiguous f32 tensors"),
    }
}

/// `a * b + c`, in one rounding where that is one instruction and in two where it is a call.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
pub(super) fn fma<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `0.5 * v * (1 + erf(v / sqrt 2))` with `v = x + bias`.
pub(super) struct BiasGelu;

impl CustomOp2 for BiasGelu {
    fn name(&self) -> &'static str {
        "bias-gelu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut out = values(x, x_layout)?.to_vec();
        bias_gelu(&mut out, values(bias, bias_layout)?);
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

for_this_processor! {
    fn bias_gelu(rows: &mut [f32], bias: &[f32]) = plain_bias_gelu
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_bias_gelu<const FUSED: bool>(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len().max(1)) {
        for (x, b) in row.iter_mut().zip(bias) {
            let v = *x + *b;
            let z = v.abs() * std::f32::consts::FRAC_1_SQRT_2;
            let erf = (1.0 - erfc::<FUSED>(z)).copysign(v);
            *x = 0.5 * v * (1.0 + erf);
        }
    }
}

/// `1 - erf(z)` for `z >= 0`, absolute error below 2e-7: Abramowitz and Stegun, 7.1.26.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn erfc<const FUSED: bool>(z: f32) -> f32 {
    let t = 1.0 / fma::<FUSED>(0.327_591_1, z, 1.0);
    let sum = fma::<FUSED>(1.061_405_4, t, -1.453_152_1);
    let sum = fma::<FUSED>(sum, t, 1.421_413_8);
    let sum = fma::<FUSED>(sum, t, -0.284_496_72);
    let sum = fma::<FUSED>(sum, t, 0.254_829_6);
    sum * t * exp::<FUSED>(-z * z)
}

/// `e^x` for `x <= 0`, relative error below 3e-7: a power of two times a short series for the rest.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within -126..=0")]
fn exp<const FUSED: bool>(x: f32) -> f32 {
    // Below 2^-126 the result would be denormal, and nothing is left of it anyway.
    let twos = (x * std::f32::consts::LOG2_E).max(-126.0);
    // Adding and taking away 1.5 * 2^23 rounds to the nearest whole number without a call.
    let whole = (twos + 12_582_912.0) - 12_582_912.0;
    let rest = (twos - whole) * std::f32::consts::LN_2;
    let series = fma::<FUSED>(1.0 / 720.0, rest, 1.0 / 120.0);
    let series = fma::<FUSED>(series, rest, 1.0 / 24.0);
    let series = fma::<FUSED>(series, rest, 1.0 / 6.0);
    let series = fma::<FUSED>(series, rest, 0.5);
    let series = fma::<FUSED>(series, rest, 1.0);
    let series = fma::<FUSED>(series, rest, 1.0);
    let whole = whole as i32;
    f32::from_bits(((whole + 127) as u32) << 23) * series
}

/// Layer normalisation of `x + bias + rest`, row by row.
pub(super) struct JoinNorm {
    /// What keeps a row without variance from dividing by nothing.
    pub(super) epsilon: f32,
}

impl CustomOp3 for JoinNorm {
    fn name(&self) -> &'static str {
        "join-norm"
    }

    /// `settings` holds three rows: the bias, the weight and the shift.
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        rest: &CpuStorage,
        rest_layout: &Layout,
        settings: &CpuStorage,
        settings_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut out = values(x, x_layout)?.to_vec();
        let rest = values(rest, rest_layout)?;
        join_norm(&mut out, rest, values(settings, settings_layout)?, self.epsilon);
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

for_this_processor! {
    fn join_norm(rows: &mut [f32], rest: &[f32], settings: &[f32], epsilon: f32) = plain_join_norm
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_join_norm<const FUSED: bool>(
    rows: &mut [f32],
    rest: &[f32],
    settings: &[f32],
    epsilon: f32,
) {
    let width = settings.len() / 3;
    let (bias, scale) = settings.split_at(width);
    let (weight, shift) = scale.split_at(width);
    let size = width.max(1);
    for (row, rest) in rows.chunks_exact_mut(size).zip(rest.chunks_exact(size)) {
        for ((x, r), b) in row.iter_mut().zip(rest).zip(bias) {
            *x += *r + *b;
        }
        let mean = sum(row, |x| x) / width as f32;
        let variance = sum(row, |x| (x - mean) * (x - mean)) / width as f32;
        let inverse = 1.0 / (variance + epsilon).sqrt();
        for ((x, w), s) in row.iter_mut().zip(weight).zip(shift) {
            *x = fma::<FUSED>((*x - mean) * inverse, *w, *s);
        }
    }
}

/// The sum of `f` over a row, in lanes.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane += f(*x);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|x| f(*x)).sum::<f32>()
}

/// Multi-head attention within texts that lie end to end; the input's rows hold query, key and
/// value side by side, without their biases.
pub(super) struct Attention<'a> {
    /// Tokens of each text, in order.
    pub(super) lengths: &'a [usize],
    pub(super) heads: usize,
    /// The biases of query, key and value.
    pub(super) bias: &'a [f32],
}

impl CustomOp1 for Attention<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, looks: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let all = values(looks, layout)?;
        let (rows, wide) = layout.shape().dims2()?;
        let width = wide / 3;
        let mut out = vec![0.0; rows * width];
        let mut scratch = Vec::new();
        let (mut from, mut to) = (all, out.as_mut_slice());
        for length in self.lengths {
            let (text, after) = from.split_at_checked(length * wide).unwrap_or((from, &[]));
            let (place, next) = to.split_at_mut_checked(length * width).unwrap_or_default();
            attend(text, self.bias, self.heads, place, &mut scratch);
            (from, to) = (after, next);
        }
        Ok((CpuStorage::F32(out), Shape::from((rows, width))))
    }
}

for_this_processor! {
    /// Attention within one text.
    fn attend(text: &[f32], bias: &[f32], heads: usize, out: &mut [f32], scratch: &mut Vec<f32>) = plain_attend
}

/// Rows of a text whose scores are worked out together, so that keys and values are read once for
/// all of them.
const TOGETHER: usize = 4;

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_attend<const FUSED: bool>(
    text: &[f32],
    bias: &[f32],
    heads: usize,
    out: &mut [f32],
    scratch: &mut Vec<f32>,
) {
    let wide = bias.len().max(1);
    let width = wide / 3;
    let size = (width / heads.max(1)).max(1);
    let tokens = text.len() / wide;
    // Keys lie transposed, one row per number, so that a query meets many of them side by side; the
    // row is padded to whole lanes.
    let padded = tokens.next_multiple_of(LANES).max(LANES);
    scratch.clear();
    scratch.resize(size * padded + tokens * size + TOGETHER * padded + TOGETHER * size, 0.0);
    let (keys, rest) = scratch.split_at_mut(size * padded);
    let (kept, rest) = rest.split_at_mut(tokens * size);
    let (scores, queries) = rest.split_at_mut(TOGETHER * padded);
    let scale = 1.0 / (size as f32).sqrt();
    for head in 0..heads {
        let at = head * size;
        for (n, row) in text.chunks_exact(wide).enumerate() {
            let (a, b) = (width + at, width + at + size);
            let key =
                row.get(a..b).unwrap_or_default().iter().zip(bias.get(a..b).unwrap_or_default());
            for ((x, b), place) in key.zip(keys.iter_mut().skip(n).step_by(padded)) {
                *place = x + b;
            }
            let (a, b) = (2 * width + at, 2 * width + at + size);
            let value =
                row.get(a..b).unwrap_or_default().iter().zip(bias.get(a..b).unwrap_or_default());
            for ((x, b), place) in value.zip(kept.iter_mut().skip(n * size)) {
                *place = x + b;
            }
        }
        let own_bias = bias.get(at..at + size).unwrap_or_default();
        let groups = text.chunks(wide * TOGETHER).zip(out.chunks_mut(width * TOGETHER));
        for (group, places) in groups {
            let rows = group.len() / wide;
            for (row, query) in group.chunks_exact(wide).zip(queries.chunks_exact_mut(size)) {
                let own = row.get(at..at + size).unwrap_or_default();
                for ((q, x), b) in query.iter_mut().zip(own).zip(own_bias) {
                    *q = (x + b) * scale;
                }
            }
            let scores = scores.get_mut(..rows * padded).unwrap_or_default();
            for (row, query) in scores.chunks_exact_mut(padded).zip(queries.chunks_exact(size)) {
                meet::<FUSED>(row, query, keys, padded);
                soften::<FUSED>(row, tokens);
            }
            for (row, place) in scores.chunks_exact(padded).zip(places.chunks_exact_mut(width)) {
                let place = place.get_mut(at..at + size).unwrap_or_default();
                gather::<FUSED>(place, row, kept, size);
            }
        }
    }
}

/// The products of one query with every key, a block of keys at a time in registers.
#[inline(always)]
fn meet<const FUSED: bool>(row: &mut [f32], query: &[f32], keys: &[f32], padded: usize) {
    const BLOCK: usize = 4 * LANES;
    let mut start = 0;
    while start < padded {
        let length = BLOCK.min(padded - start);
        let place = row.get_mut(start..start + length).unwrap_or_default();
        if let Ok(place) = <&mut [f32; BLOCK]>::try_from(&mut *place) {
            let mut sums = [0.0; BLOCK];
            for (q, key) in query.iter().zip(keys.chunks_exact(padded)) {
                if let Some(Some(key)) = key.get(start..).map(<[f32]>::first_chunk::<BLOCK>) {
                    for (sum, k) in sums.iter_mut().zip(key) {
                        *sum = fma::<FUSED>(*q, *k, *sum);
                    }
                }
            }
            *place = sums;
        } else {
            for (place, from) in place.chunks_exact_mut(LANES).zip((start..).step_by(LANES)) {
                let mut sums = [0.0; LANES];
                for (q, key) in query.iter().zip(keys.chunks_exact(padded)) {
                    if let Some(Some(key)) = key.get(from..).map(<[f32]>::first_chunk::<LANES>) {
                        for (sum, k) in sums.iter_mut().zip(key) {
                            *sum = fma::<FUSED>(*q, *k, *sum);
                        }
                    }
                }
                place.copy_from_slice(&sums);
            }
        }
        start += length;
    }
}

/// Softmax over the first `tokens` scores of a row.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn soften<const FUSED: bool>(row: &mut [f32], tokens: usize) {
    let row = row.get_mut(..tokens).unwrap_or_default();
    let mut tops = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (top, x) in tops.iter_mut().zip(block) {
            *top = if *x > *top { *x } else { *top };
        }
    }
    let top = tops.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    for x in row.iter_mut() {
        *x = exp::<FUSED>(*x - top);
    }
    let inverse = 1.0 / sum(row, |x| x);
    for x in row.iter_mut() {
        *x *= inverse;
    }
}

/// The values, each as much as its score says.
#[inline(always)]
fn gather<const FUSED: bool>(place: &mut [f32], scores: &[f32], kept: &[f32], size: usize) {
    const SIZE: usize = 2 * LANES;
    // The usual head of 32 numbers stays in registers.
    if let Ok(place) = <&mut [f32; SIZE]>::try_from(&mut *place) {
        let mut sums = [0.0; SIZE];
        for (score, value) in scores.iter().zip(kept.as_chunks::<SIZE>().0) {
            for (sum, v) in sums.iter_mut().zip(value) {
                *sum = fma::<FUSED>(*score, *v, *sum);
            }
        }
        *place = sums;
    } else {
        place.fill(0.0);
        for (score, value) in scores.iter().zip(kept.chunks_exact(size)) {
            for (sum, v) in place.iter_mut().zip(value) {
                *sum = fma::<FUSED>(*score, *v, *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exact_gelu() {
        // Computed with 50 digits elsewhere.
        let known = [
            (-4.0, -0.000_126_684_84),
            (-1.0, -0.158_655_26),
            (-0.1, -0.046_017_22),
            (0.0, 0.0),
            (0.5, 0.345_731_23),
            (1.0, 0.841_344_8),
            (3.0, 2.995_950_3),
            (40.0, 40.0),
            (-40.0, 0.0),
        ];
        let mut rows: Vec<f32> = known.iter().map(|(x, _)| x - 0.25).collect();
        let mut plain = rows.clone();
        let bias = vec![0.25; known.len()];
        bias_gelu(&mut rows, &bias);
        plain_bias_gelu::<false>(&mut plain, &bias);
        for ((value, plain), (x, want)) in rows.iter().zip(plain).zip(known) {
            assert!((value - want).abs() < 1e-6, "gelu({x}) = {value}, not {want}");
            assert!((plain - want).abs() < 1e-6, "gelu({x}) = {plain}, not {want}");
        }
    }

    #[test]
    fn attention_is_softmax_of_products_at_any_length() {
        for (tokens, heads, size) in [(1, 2, 32), (5, 3, 32), (17, 2, 32), (70, 1, 32), (9, 2, 6)] {
            let width = heads * size;
            let wave = |n: usize| ((n * 7919 % 1000) as f32 / 500.0 - 1.0) * 1.5;
            let text: Vec<f32> = (0..tokens * 3 * width).map(wave).collect();
            let bias: Vec<f32> = (0..3 * width).map(|n| wave(n + 13)).collect();
            let at = |token: usize, from: usize, n: usize| {
                text[token * 3 * width + from + n] + bias[from + n]
            };
            let mut out = vec![0.0; tokens * width];
            attend(&text, &bias, heads, &mut out, &mut Vec::new());
            for head in 0..heads {
                for query in 0..tokens {
                    let scores: Vec<f32> = (0..tokens)
                        .map(|key| {
                            let dot: f32 = (head * size..(head + 1) * size)
                                .map(|n| at(query, 0, n) * at(key, width, n))
                                .sum();
                            (dot / (size as f32).sqrt()).exp()
                        })
                        .collect();
                    let all: f32 = scores.iter().sum();
                    for n in head * size..(head + 1) * size {
                        let want: f32 =
                            (0..tokens).map(|t| scores[t] / all * at(t, 2 * width, n)).sum();
                        let got = out[query * width + n];
                        assert!((got - want).abs() < 1e-4, "{tokens}/{heads}/{size}: {got} {want}");
                    }
                }
            }
        }
    }
}
