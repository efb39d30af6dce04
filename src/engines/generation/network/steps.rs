//! The steps between the matrix products, each one pass over memory, written so that the compiler
//! makes vector code of them for the processor at hand.

use super::shape::Activation;

/// Compiles `$plain` three times, for AVX-512, for AVX2 with FMA and for any processor, and calls the
/// best that runs here.
macro_rules! for_this_processor {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $kind:ty),*) = $plain:ident) => {
        $(#[$doc])*
        #[cfg(target_arch = "x86_64")]
        pub(super) fn $name($($arg: $kind),*) {
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma,f16c")]
            fn with_avx512($($arg: $kind),*) {
                $plain::<true>($($arg),*);
            }
            #[target_feature(enable = "avx2,fma,f16c")]
            fn with_avx2($($arg: $kind),*) {
                $plain::<true>($($arg),*);
            }
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
            {
                #[expect(unsafe_code, reason = "the features were found in this processor")]
                unsafe {
                    with_avx512($($arg),*);
                }
            } else if avx2 {
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
        pub(super) fn $name($($arg: $kind),*) {
            $plain::<false>($($arg),*);
        }
    };
}

pub(super) use for_this_processor;

/// Lanes that sums are kept in, so that they can be added side by side.
pub(super) const LANES: usize = 16;

/// `a * b + c`, in one rounding where that is one instruction and in two where it is a call.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
pub(super) fn fma<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x` for `x <= 0`, relative error below 3e-7: a power of two times a short series for the rest.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within -126..=0")]
pub(super) fn exp<const FUSED: bool>(x: f32) -> f32 {
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

/// `tanh(x)`, by one exponential.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
pub(super) fn tanh<const FUSED: bool>(x: f32) -> f32 {
    let power = exp::<FUSED>(-2.0 * x.abs());
    ((1.0 - power) / (1.0 + power)).copysign(x)
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

for_this_processor! {
    /// Each row of `x` divided by its root mean square and multiplied by `weight`, into `out`.
    fn norm(out: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) = plain_norm
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_norm<const FUSED: bool>(out: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
    let size = weight.len().max(1);
    for (out, row) in out.chunks_exact_mut(size).zip(x.chunks_exact(size)) {
        let mean = sum(row, |x| x * x) / size as f32;
        let inverse = 1.0 / (mean + epsilon).sqrt();
        for ((out, x), w) in out.iter_mut().zip(row).zip(weight) {
            *out = *x * inverse * *w;
        }
    }
}

for_this_processor! {
    /// The same where the rows lie.
    fn norm_here(rows: &mut [f32], weight: &[f32], epsilon: f32) = plain_norm_here
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_norm_here<const FUSED: bool>(rows: &mut [f32], weight: &[f32], epsilon: f32) {
    let size = weight.len().max(1);
    for row in rows.chunks_exact_mut(size) {
        let mean = sum(row, |x| x * x) / size as f32;
        let inverse = 1.0 / (mean + epsilon).sqrt();
        for (x, w) in row.iter_mut().zip(weight) {
            *x = *x * inverse * *w;
        }
    }
}

for_this_processor! {
    /// Adds the second row of numbers to the first.
    fn add(to: &mut [f32], more: &[f32]) = plain_add
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_add<const FUSED: bool>(to: &mut [f32], more: &[f32]) {
    for (x, y) in to.iter_mut().zip(more) {
        *x += *y;
    }
}

for_this_processor! {
    /// The gate, bent by the activation, times what came up, in the gate's place.
    fn gated(gate: &mut [f32], up: &[f32], activation: Activation) = plain_gated
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_gated<const FUSED: bool>(gate: &mut [f32], up: &[f32], activation: Activation) {
    match activation {
        Activation::Silu => {
            for (g, u) in gate.iter_mut().zip(up) {
                *g = *g * sigmoid::<FUSED>(*g) * *u;
            }
        }
        Activation::Gelu => {
            for (g, u) in gate.iter_mut().zip(up) {
                // sqrt(2 / pi) and the cubic term of the approximation by Hendrycks and Gimpel.
                let inner = 0.797_884_6 * *g * fma::<FUSED>(0.044_715 * *g, *g, 1.0);
                *g = 0.5 * *g * (1.0 + tanh::<FUSED>(inner)) * *u;
            }
        }
    }
}

/// `1 / (1 + e^-x)`, by an exponential that never grows.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    let power = exp::<FUSED>(-x.abs());
    let above = 1.0 / (1.0 + power);
    if x < 0.0 { power * above } else { above }
}

for_this_processor! {
    /// Bends numbers so that none passes the cap.
    fn capped(numbers: &mut [f32], cap: f32) = plain_capped
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_capped<const FUSED: bool>(numbers: &mut [f32], cap: f32) {
    for x in numbers {
        *x = cap * tanh::<FUSED>(*x / cap);
    }
}
