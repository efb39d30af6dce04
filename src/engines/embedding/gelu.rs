//! Bias and exact GELU in one pass, written so that the compiler makes vector code of it.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, bail};

/// `0.5 * v * (1 + erf(v / sqrt 2))` with `v = x + bias`.
pub(super) struct Gelu;

impl CustomOp2 for Gelu {
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
        let (CpuStorage::F32(x), CpuStorage::F32(bias)) = (x, bias) else {
            bail!("bias-gelu works on f32");
        };
        let (Some(x), Some(bias)) = (part(x, x_layout), part(bias, bias_layout)) else {
            bail!("bias-gelu works on contiguous tensors");
        };
        let mut out = x.to_vec();
        for row in out.chunks_exact_mut(bias.len().max(1)) {
            apply(row, bias);
        }
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

fn part<'a>(values: &'a [f32], layout: &Layout) -> Option<&'a [f32]> {
    let (from, to) = layout.contiguous_offsets()?;
    values.get(from..to)
}

#[cfg(target_arch = "x86_64")]
fn apply(row: &mut [f32], bias: &[f32]) {
    #[target_feature(enable = "avx512f")]
    fn with_avx512(row: &mut [f32], bias: &[f32]) {
        plain(row, bias);
    }
    #[target_feature(enable = "avx2,fma")]
    fn with_avx2(row: &mut [f32], bias: &[f32]) {
        plain(row, bias);
    }
    if is_x86_feature_detected!("avx512f") {
        #[expect(unsafe_code, reason = "the feature was found in this processor")]
        unsafe {
            with_avx512(row, bias);
        }
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[expect(unsafe_code, reason = "the features were found in this processor")]
        unsafe {
            with_avx2(row, bias);
        }
    } else {
        plain(row, bias);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn apply(row: &mut [f32], bias: &[f32]) {
    plain(row, bias);
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain(row: &mut [f32], bias: &[f32]) {
    for (x, b) in row.iter_mut().zip(bias) {
        let v = *x + *b;
        let z = v.abs() * std::f32::consts::FRAC_1_SQRT_2;
        let erf = (1.0 - erfc(z)).copysign(v);
        *x = 0.5 * v * (1.0 + erf);
    }
}

/// `1 - erf(z)` for `z >= 0`, absolute error below 2e-7: Abramowitz and Stegun, 7.1.26.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn erfc(z: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let sum = 1.061_405_4 * t - 1.453_152_1;
    let sum = sum * t + 1.421_413_8;
    let sum = sum * t - 0.284_496_72;
    let sum = sum * t + 0.254_829_6;
    sum * t * exp_of_minus(z * z)
}

/// `e^-x` for `x >= 0`, relative error below 3e-7: a power of two times a short series for the rest.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within -126..=0")]
fn exp_of_minus(x: f32) -> f32 {
    // Below 2^-126 the result would be denormal, and nothing is left of it anyway.
    let twos = (-x * std::f32::consts::LOG2_E).max(-126.0);
    // Adding and taking away 1.5 * 2^23 rounds to the nearest whole number without a call.
    let whole = (twos + 12_582_912.0) - 12_582_912.0;
    let rest = (twos - whole) * std::f32::consts::LN_2;
    let series = 1.0 / 720.0;
    let series = series * rest + 1.0 / 120.0;
    let series = series * rest + 1.0 / 24.0;
    let series = series * rest + 1.0 / 6.0;
    let series = series * rest + 0.5;
    let series = series * rest + 1.0;
    let series = series * rest + 1.0;
    f32::from_bits(((whole as i32 + 127) as u32) << 23) * series
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
        let mut values: Vec<f32> = known.iter().map(|(x, _)| x - 0.25).collect();
        apply(&mut values, &vec![0.25; known.len()]);
        for (value, (x, want)) in values.iter().zip(known) {
            assert!((value - want).abs() < 1e-6, "gelu({x}) = {value}, not {want}");
        }
    }
}
