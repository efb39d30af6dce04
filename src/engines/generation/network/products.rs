//! Products of tiles with rows of 8-bit numbers, by the instruction that multiplies 64 bytes at once
//! and adds each four of the products (AVX-512 VNNI).

use super::steps::for_this_processor;
use super::tiles::{COLUMNS, Layout, ROWS};

/// 32 numbers of a row that goes into a product, as 8-bit numbers, with what the layouts' corrections
/// need of them.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Eighths {
    numbers: [i8; COLUMNS],
    scale: f32,
    /// The sum of the numbers, times the scale.
    total: f32,
    /// 128 times the sum, taken away.
    less_128: i32,
    /// 32 times the sum of each half, taken away.
    less_32: [i32; 2],
}

impl Eighths {
    pub(super) const BLANK: Self =
        Self { numbers: [0; COLUMNS], scale: 0.0, total: 0.0, less_128: 0, less_32: [0; 2] };
}

for_this_processor! {
    /// Rounds numbers to 8 bits, in blocks of 32 with a scale each.
    fn round_to_eighths(values: &[f32], to: &mut [Eighths]) = plain_round
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
#[expect(clippy::cast_possible_truncation, reason = "within -127..=127")]
fn plain_round<const FUSED: bool>(values: &[f32], to: &mut [Eighths]) {
    for (values, block) in values.as_chunks::<COLUMNS>().0.iter().zip(to) {
        let mut tops = [0.0f32; COLUMNS / 2];
        let (first, second) = values.split_at(COLUMNS / 2);
        for ((top, a), b) in tops.iter_mut().zip(first).zip(second) {
            let (a, b) = (a.abs(), b.abs());
            *top = if a > b { a } else { b };
        }
        let top = tops.iter().fold(0.0f32, |a, b| if *b > a { *b } else { a });
        let inverse = if top > 0.0 { 127.0 / top } else { 0.0 };
        let mut sums = [0i32; 2];
        let halves = values.as_chunks::<{ COLUMNS / 2 }>().0.iter();
        let places = block.numbers.as_chunks_mut::<{ COLUMNS / 2 }>().0.iter_mut();
        for ((half, places), sum) in halves.zip(places).zip(&mut sums) {
            for (place, value) in places.iter_mut().zip(half) {
                // Adding and taking away 1.5 * 2^23 rounds to the nearest whole number.
                let whole = ((value * inverse + 12_582_912.0) - 12_582_912.0) as i32;
                *place = whole as i8;
                *sum += whole;
            }
        }
        let [a, b] = sums;
        block.scale = top / 127.0;
        block.total = block.scale * (a + b) as f32;
        block.less_128 = -128 * (a + b);
        block.less_32 = [-32 * a, -32 * b];
    }
}

/// Rows of numbers that are multiplied at once.
pub(super) const TOGETHER: usize = 8;

/// Whether this processor has what [`tile`] needs.
pub(super) fn run_here() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("f16c")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Where the sums of one tile go: a matrix of rows `stride` numbers long, of which `columns` are there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) start: *mut f32,
    pub(super) stride: usize,
    /// How many of the tile's rows the matrix has; the others are filling.
    pub(super) columns: usize,
}

#[cfg(target_arch = "x86_64")]
pub(super) use wide::tile;

#[cfg(target_arch = "x86_64")]
#[expect(
    clippy::indexing_slicing,
    reason = "every index counts the rows that the arrays are as long as"
)]
mod wide {
    #[cfg_attr(
        not(test),
        expect(clippy::wildcard_imports, reason = "the instructions' names are their own")
    )]
    use std::arch::x86_64::*;

    use super::{COLUMNS, Eighths, Layout, ROWS, TOGETHER, Target};

    /// How far ahead of a lone row's product its weights are asked for: it waits for memory alone.
    const AHEAD: usize = 2048;
    const FOUR: u8 = 0;
    const SIX: u8 = 1;
    const SIX_HALVES: u8 = 2;
    const EIGHT: u8 = 3;

    /// The products of one tile with up to [`TOGETHER`] rows.
    ///
    /// # Safety
    ///
    /// [`super::run_here`] said yes; `tile` begins a tile of `blocks` blocks in `layout`; each of `rows`
    /// begins `blocks` blocks; `to` has room for as many rows as there are.
    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    pub(in super::super) unsafe fn tile(
        layout: Layout,
        tile: *const u8,
        blocks: usize,
        rows: &[*const Eighths],
        to: Target,
    ) {
        unsafe {
            match layout {
                Layout::Four => some_rows::<FOUR>(tile, blocks, rows, to),
                Layout::Six => some_rows::<SIX>(tile, blocks, rows, to),
                Layout::SixHalves => some_rows::<SIX_HALVES>(tile, blocks, rows, to),
                Layout::Eight => some_rows::<EIGHT>(tile, blocks, rows, to),
            }
        }
    }

    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    unsafe fn some_rows<const L: u8>(
        tile: *const u8,
        blocks: usize,
        rows: &[*const Eighths],
        to: Target,
    ) {
        macro_rules! with {
            ($($count:literal),*) => {
                match rows.len() {
                    $($count => if let Some(rows) = rows.first_chunk::<$count>() {
                        unsafe { all_blocks::<L, $count>(tile, blocks, rows, to) }
                    },)*
                    _ => {}
                }
            };
        }
        const { assert!(TOGETHER == 8) };
        with!(1, 2, 3, 4, 5, 6, 7, 8);
    }

    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
    unsafe fn all_blocks<const L: u8, const M: usize>(
        tile: *const u8,
        blocks: usize,
        rows: &[*const Eighths; M],
        to: Target,
    ) {
        unsafe {
            let size = ROWS * COLUMNS;
            let (numbers, scales) = match L {
                FOUR => (size / 2, ROWS * 4),
                EIGHT => (size, ROWS * 2),
                _ => (size / 4 * 3, ROWS * 4),
            };
            let beside = tile.add(blocks * numbers);
            let mut sums = [_mm512_setzero_ps(); M];
            for block in 0..blocks {
                let rows: [*const Eighths; M] = std::array::from_fn(|row| rows[row].add(block));
                if M == 1 {
                    ahead(tile.wrapping_add(block * numbers + AHEAD), numbers);
                }
                let numbers = tile.add(block * numbers);
                let scales = beside.add(block * scales);
                match L {
                    FOUR => four(numbers, scales, &rows, &mut sums),
                    SIX => six(numbers, scales, &rows, &mut sums),
                    SIX_HALVES => six_halves(numbers, scales, &rows, &mut sums),
                    _ => eight(numbers, scales, &rows, &mut sums),
                }
            }
            let mask = u16::MAX >> (ROWS - to.columns.clamp(1, ROWS));
            for (row, sums) in sums.iter().enumerate() {
                _mm512_mask_storeu_ps(to.start.add(row * to.stride), mask, *sums);
            }
        }
    }

    /// Asks for memory that will be read soon; a place where nothing lies is no harm.
    #[inline]
    #[expect(unsafe_code, reason = "asking ahead reads nothing")]
    #[target_feature(enable = "avx512f")]
    unsafe fn ahead(from: *const u8, bytes: usize) {
        for line in (0..bytes).step_by(64) {
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(line).cast());
        }
    }

    /// Four of a row's numbers, in every lane.
    #[inline]
    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    #[target_feature(enable = "avx512f")]
    unsafe fn four_numbers(row: *const Eighths, four: usize) -> __m512i {
        unsafe { _mm512_set1_epi32(row.cast::<i32>().add(four).read_unaligned()) }
    }

    #[inline]
    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    #[target_feature(enable = "avx512f")]
    unsafe fn line(from: *const u8, at: usize) -> __m512i {
        unsafe { _mm512_loadu_si512(from.add(at * 64).cast()) }
    }

    #[inline]
    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    #[target_feature(enable = "avx512f")]
    unsafe fn sixteen_floats(from: *const u8) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    /// Adds a block whose numbers have a scale and something that is taken away.
    #[inline]
    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    #[target_feature(enable = "avx512f")]
    unsafe fn scaled<const M: usize>(
        scales: *const u8,
        rows: &[*const Eighths; M],
        whole: &[__m512i; M],
        sums: &mut [__m512; M],
    ) {
        unsafe {
            let scale = sixteen_floats(scales);
            let less = sixteen_floats(scales.add(ROWS * 2));
            for row in 0..M {
                let block = &*rows[row];
                let own = _mm512_mul_ps(scale, _mm512_set1_ps(block.scale));
                sums[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[row]), own, sums[row]);
                sums[row] = _mm512_fnmadd_ps(less, _mm512_set1_ps(block.total), sums[row]);
            }
        }
    }

    #[inline]
    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn four<const M: usize>(
        numbers: *const u8,
        scales: *const u8,
        rows: &[*const Eighths; M],
        sums: &mut [__m512; M],
    ) {
        unsafe {
            let low = _mm512_set1_epi8(15);
            let mut whole = [_mm512_setzero_si512(); M];
            for pair in 0..4 {
                let both = line(numbers, pair);
                let first = _mm512_and_si512(both, low);
                let second = _mm512_and_si512(_mm512_srli_epi16::<4>(both), low);
                for row in 0..M {
                    let own = four_numbers(rows[row], pair * 2);
                    whole[row] = _mm512_dpbusd_epi32(whole[row], first, own);
                }
                for row in 0..M {
                    let own = four_numbers(rows[row], pair * 2 + 1);
                    whole[row] = _mm512_dpbusd_epi32(whole[row], second, own);
                }
            }
            scaled(scales, rows, &whole, sums);
        }
    }

    /// The eight groups of four columns of a block of 6-bit numbers, from `FROM` to `FROM + 4`.
    #[inline]
    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn six_half<const M: usize>(
        numbers: *const u8,
        half: usize,
        rows: &[*const Eighths; M],
        whole: &mut [__m512i; M],
    ) {
        unsafe {
            let low = _mm512_set1_epi8(15);
            let bits = _mm512_set1_epi8(48);
            let upper = line(numbers, 4 + half);
            for pair in 0..2 {
                let both = line(numbers, half * 2 + pair);
                let (first_upper, second_upper) = if pair == 0 {
                    (_mm512_slli_epi16::<4>(upper), _mm512_slli_epi16::<2>(upper))
                } else {
                    (upper, _mm512_srli_epi16::<2>(upper))
                };
                let first = _mm512_or_si512(
                    _mm512_and_si512(both, low),
                    _mm512_and_si512(first_upper, bits),
                );
                let second = _mm512_or_si512(
                    _mm512_and_si512(_mm512_srli_epi16::<4>(both), low),
                    _mm512_and_si512(second_upper, bits),
                );
                let four = half * 4 + pair * 2;
                for row in 0..M {
                    let own = four_numbers(rows[row], four);
                    whole[row] = _mm512_dpbusd_epi32(whole[row], first, own);
                }
                for row in 0..M {
                    let own = four_numbers(rows[row], four + 1);
                    whole[row] = _mm512_dpbusd_epi32(whole[row], second, own);
                }
            }
        }
    }

    #[inline]
    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn six<const M: usize>(
        numbers: *const u8,
        scales: *const u8,
        rows: &[*const Eighths; M],
        sums: &mut [__m512; M],
    ) {
        unsafe {
            let mut whole = [_mm512_setzero_si512(); M];
            six_half(numbers, 0, rows, &mut whole);
            six_half(numbers, 1, rows, &mut whole);
            scaled(scales, rows, &whole, sums);
        }
    }

    #[inline]
    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn six_halves<const M: usize>(
        numbers: *const u8,
        scales: *const u8,
        rows: &[*const Eighths; M],
        sums: &mut [__m512; M],
    ) {
        unsafe {
            for half in 0..2 {
                let mut whole: [__m512i; M] =
                    std::array::from_fn(|row| _mm512_set1_epi32((*rows[row]).less_32[half]));
                six_half(numbers, half, rows, &mut whole);
                let scale = sixteen_floats(scales.add(half * ROWS * 2));
                for row in 0..M {
                    let own = _mm512_mul_ps(scale, _mm512_set1_ps((*rows[row]).scale));
                    sums[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[row]), own, sums[row]);
                }
            }
        }
    }

    #[inline]
    #[expect(unsafe_code, reason = "the kernels read memory by address")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn eight<const M: usize>(
        numbers: *const u8,
        scales: *const u8,
        rows: &[*const Eighths; M],
        sums: &mut [__m512; M],
    ) {
        unsafe {
            let mut whole: [__m512i; M] =
                std::array::from_fn(|row| _mm512_set1_epi32((*rows[row]).less_128));
            for four in 0..8 {
                let own_weights = line(numbers, four);
                for row in 0..M {
                    let own = four_numbers(rows[row], four);
                    whole[row] = _mm512_dpbusd_epi32(whole[row], own_weights, own);
                }
            }
            let scale = sixteen_floats(scales);
            for row in 0..M {
                let own = _mm512_mul_ps(scale, _mm512_set1_ps((*rows[row]).scale));
                sums[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[row]), own, sums[row]);
            }
        }
    }
}
