//! Weights laid out for the widest registers: tiles of sixteen rows, whose numbers lie side by side in
//! the order in which a product reads them.
//!
//! A tile has a block for every 32 columns: the numbers themselves, four columns of one row behind
//! those of the next, and beside them what each row's numbers of that block are multiplied by. All
//! kinds of the files become one of four layouts, without loss but for scales of the K kinds, which
//! are rounded to 16 bits (a relative error below 0.05 %), and for kinds that are rare enough to be
//! laid out as 8-bit numbers.

use half::f16;

use super::super::header::TensorKind;
use super::source::{Stored, floats};
use crate::base::fault::Fault;

/// Rows of a tile.
pub(super) const ROWS: usize = 16;
/// Columns of a block.
pub(super) const COLUMNS: usize = 32;

/// How a block's numbers are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// 4 bits, a scale and what is taken away: `scale * q - less`.
    Four,
    /// 6 bits, the same.
    Six,
    /// 6 bits, a scale for each half of the block: `scale * (q - 32)`.
    SixHalves,
    /// 8 bits and a scale: `scale * (q - 128)`.
    Eight,
}

impl Layout {
    /// Bytes of a block's numbers.
    pub(super) const fn numbers(self) -> usize {
        match self {
            Self::Four => ROWS * COLUMNS / 2,
            Self::Six | Self::SixHalves => ROWS * COLUMNS / 4 * 3,
            Self::Eight => ROWS * COLUMNS,
        }
    }

    /// Bytes of a block's scales.
    pub(super) const fn scales(self) -> usize {
        match self {
            Self::Eight => ROWS * 2,
            _ => ROWS * 4,
        }
    }

    /// The layout that takes a kind of the files; none for floats.
    fn of(kind: TensorKind) -> Option<Self> {
        match kind {
            TensorKind::F32 | TensorKind::F16 | TensorKind::BF16 => None,
            TensorKind::Q4_0 | TensorKind::Q4_1 | TensorKind::Q4_K => Some(Self::Four),
            TensorKind::Q5_0 | TensorKind::Q5_1 | TensorKind::Q5_K => Some(Self::Six),
            TensorKind::Q6_K => Some(Self::SixHalves),
            _ => Some(Self::Eight),
        }
    }
}

/// A line of memory, where tiles begin.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

/// A matrix of tiles.
pub(super) struct Tiles {
    layout: Layout,
    /// Blocks of a row.
    blocks: usize,
    /// Lines of a tile.
    lines: usize,
    memory: Vec<Line>,
}

/// 32 numbers of one row: what they are, and their scale and the other number of their layout.
#[derive(Debug, Clone, Copy)]
struct Block {
    numbers: [u8; COLUMNS],
    scale: f32,
    other: f32,
}

const BLANK: Block = Block { numbers: [0; COLUMNS], scale: 0.0, other: 0.0 };

impl Tiles {
    /// Lays out a matrix; none when its numbers are floats or its columns no whole blocks.
    pub(super) fn of(stored: &Stored) -> Result<Option<Self>, Fault> {
        let Some(layout) = Layout::of(stored.kind) else { return Ok(None) };
        if !stored.columns.is_multiple_of(COLUMNS) || stored.rows == 0 || stored.columns == 0 {
            return Ok(None);
        }
        let blocks = stored.columns / COLUMNS;
        let lines = (blocks * (layout.numbers() + layout.scales())).div_ceil(size_of::<Line>());
        let tiles = stored.rows.div_ceil(ROWS);
        let memory = vec![Line([0; 64]); tiles * lines];
        let mut laid = Self { layout, blocks, lines, memory };
        let row_bytes = stored.bytes.len() / stored.rows;
        let mut row = vec![BLANK; blocks];
        for (at, bytes) in stored.bytes.chunks_exact(row_bytes.max(1)).enumerate() {
            read_row(stored, bytes, &mut row)?;
            laid.write_row(at, &row);
        }
        Ok(Some(laid))
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Blocks of a row.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    pub(super) fn bytes(&self) -> usize {
        self.memory.len() * size_of::<Line>()
    }

    /// The lines of one tile.
    pub(super) fn tile(&self, tile: usize) -> &[Line] {
        self.memory.get(tile * self.lines..(tile + 1) * self.lines).unwrap_or_default()
    }

    /// The byte of a tile's numbers and the byte of its scales where a block's begin.
    fn places(&self, block: usize) -> (usize, usize) {
        let scales = self.blocks * self.layout.numbers();
        (block * self.layout.numbers(), scales + block * self.layout.scales())
    }

    fn write_row(&mut self, row: usize, blocks: &[Block]) {
        let within = row % ROWS;
        let places: Vec<_> = (0..self.blocks).map(|block| self.places(block)).collect();
        let start = row / ROWS * self.lines;
        let layout = self.layout;
        let Some(lines) = self.memory.get_mut(start..start + self.lines) else { return };
        let mut tile = Bytes(lines);
        for (block, (numbers, scales)) in blocks.iter().zip(places) {
            for (at, four) in block.numbers.as_chunks::<4>().0.iter().enumerate() {
                for (column, number) in four.iter().enumerate() {
                    tile.put(layout, numbers, within, at, column, *number);
                }
            }
            tile.scale(scales + within * 2, block.scale);
            if layout.scales() > ROWS * 2 {
                tile.scale(scales + ROWS * 2 + within * 2, block.other);
            }
        }
    }

    /// The numbers one row stands for.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        let within = row % ROWS;
        let tile = self.tile(row / ROWS);
        let byte = |at: usize| tile.get(at / 64).and_then(|line| line.0.get(at % 64)).copied();
        let scale = |at: usize| {
            let bytes = [byte(at).unwrap_or(0), byte(at + 1).unwrap_or(0)];
            f16::from_le_bytes(bytes).to_f32()
        };
        for (block, out) in out.chunks_exact_mut(COLUMNS).take(self.blocks).enumerate() {
            let (numbers, scales) = self.places(block);
            let first = scale(scales + within * 2);
            let second = match self.layout {
                Layout::Eight => 0.0,
                _ => scale(scales + ROWS * 2 + within * 2),
            };
            for (column, out) in out.iter_mut().enumerate() {
                let number = self.layout.number(&byte, numbers, within, column);
                *out = match self.layout {
                    Layout::Four | Layout::Six => first * number - second,
                    Layout::SixHalves if column < COLUMNS / 2 => first * (number - 32.0),
                    Layout::SixHalves => second * (number - 32.0),
                    Layout::Eight => first * (number - 128.0),
                };
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a block has eight groups of four")]
impl Layout {
    /// Where the lower bits of a number lie in its block: the byte, and how far they are shifted.
    const fn low(self, row: usize, four: usize, column: usize) -> (usize, u32) {
        match self {
            // Two groups of four columns share the bytes: the first in the lower bits.
            Self::Four | Self::Six | Self::SixHalves => {
                ((four / 2 * ROWS + row) * 4 + column, (four as u32 % 2) * 4)
            }
            Self::Eight => ((four * ROWS + row) * 4 + column, 0),
        }
    }

    /// Where the two upper bits lie.
    const fn high(row: usize, four: usize, column: usize) -> (usize, u32) {
        // Four groups of four columns share the bytes.
        (ROWS * COLUMNS / 2 + (four / 4 * ROWS + row) * 4 + column, (four as u32 % 4) * 2)
    }

    fn number(
        self,
        byte: &impl Fn(usize) -> Option<u8>,
        start: usize,
        row: usize,
        column: usize,
    ) -> f32 {
        let (low, shift) = self.low(row, column / 4, column % 4);
        let low = byte(start + low).unwrap_or(0);
        f32::from(match self {
            Self::Four => (low >> shift) & 15,
            Self::Eight => low,
            Self::Six | Self::SixHalves => {
                let (high, by) = Self::high(row, column / 4, column % 4);
                let high = byte(start + high).unwrap_or(0);
                ((low >> shift) & 15) | (((high >> by) & 3) << 4)
            }
        })
    }
}

/// A tile's bytes while it is written.
struct Bytes<'a>(&'a mut [Line]);

impl Bytes<'_> {
    fn or(&mut self, at: usize, bits: u8) {
        if let Some(byte) = self.0.get_mut(at / 64).and_then(|line| line.0.get_mut(at % 64)) {
            *byte |= bits;
        }
    }

    fn put(
        &mut self,
        layout: Layout,
        start: usize,
        row: usize,
        four: usize,
        column: usize,
        number: u8,
    ) {
        let (low, shift) = layout.low(row, four, column);
        match layout {
            Layout::Eight => self.or(start + low, number),
            Layout::Four => self.or(start + low, (number & 15) << shift),
            Layout::Six | Layout::SixHalves => {
                self.or(start + low, (number & 15) << shift);
                let (high, by) = Layout::high(row, four, column);
                self.or(start + high, (number >> 4) << by);
            }
        }
    }

    fn scale(&mut self, at: usize, scale: f32) {
        let [low, high] = f16::from_f32(scale).to_le_bytes();
        self.or(at, low);
        self.or(at + 1, high);
    }
}

/// Reads one row of a file's matrix.
fn read_row(stored: &Stored, bytes: &[u8], row: &mut [Block]) -> Result<(), Fault> {
    match stored.kind {
        TensorKind::Q4_0 => each_block(bytes, row, |bytes: &[u8; 18], block| {
            let (scale, numbers) = start(bytes);
            *block = Block { numbers: nibbles(numbers, 0), scale, other: 8.0 * scale };
        }),
        TensorKind::Q4_1 => each_block(bytes, row, |bytes: &[u8; 20], block| {
            let (scale, rest) = start(bytes);
            let (less, numbers) = start(rest);
            *block = Block { numbers: nibbles(numbers, 0), scale, other: -less };
        }),
        TensorKind::Q5_0 => each_block(bytes, row, |bytes: &[u8; 22], block| {
            let (scale, rest) = start(bytes);
            let (upper, numbers) = upper(rest);
            *block = Block { numbers: nibbles(numbers, upper), scale, other: 16.0 * scale };
        }),
        TensorKind::Q5_1 => each_block(bytes, row, |bytes: &[u8; 24], block| {
            let (scale, rest) = start(bytes);
            let (less, rest) = start(rest);
            let (upper, numbers) = upper(rest);
            *block = Block { numbers: nibbles(numbers, upper), scale, other: -less };
        }),
        TensorKind::Q8_0 => each_block(bytes, row, |bytes: &[u8; 34], block| {
            let (scale, numbers) = start(bytes);
            *block = Block { scale, ..BLANK };
            for (place, number) in block.numbers.iter_mut().zip(numbers) {
                // The signed byte with its sign turned is the number with 128 added.
                *place = number ^ 128;
            }
        }),
        TensorKind::Q4_K => each_eight(bytes, row, |bytes: &[u8; 144], eight| {
            read_k(bytes, &[], eight);
        }),
        TensorKind::Q5_K => each_eight(bytes, row, |bytes: &[u8; 176], eight| {
            let (head, rest) = bytes.split_at(16);
            let (upper, low) = rest.split_at(32);
            let mut joined = [0; 144];
            for (place, byte) in joined.iter_mut().zip(head.iter().chain(low)) {
                *place = *byte;
            }
            read_k(&joined, upper, eight);
        }),
        TensorKind::Q6_K => each_eight(bytes, row, read_q6_k),
        kind => {
            let values = floats(&stored.name, kind, bytes, stored.columns)?;
            for (values, block) in values.as_chunks().0.iter().zip(row) {
                *block = eight_bits(values);
            }
        }
    }
    Ok(())
}

fn each_block<const N: usize>(
    bytes: &[u8],
    row: &mut [Block],
    read: impl Fn(&[u8; N], &mut Block),
) {
    for (bytes, block) in bytes.as_chunks::<N>().0.iter().zip(row) {
        read(bytes, block);
    }
}

/// The K kinds have 256 columns in one of their blocks.
fn each_eight<const N: usize>(
    bytes: &[u8],
    row: &mut [Block],
    read: impl Fn(&[u8; N], &mut [Block; 8]),
) {
    for (bytes, eight) in bytes.as_chunks::<N>().0.iter().zip(row.as_chunks_mut().0) {
        read(bytes, eight);
    }
}

/// A 16-bit float, and the rest.
fn start(bytes: &[u8]) -> (f32, &[u8]) {
    match bytes.split_first_chunk::<2>() {
        Some((float, rest)) => (f16::from_le_bytes(*float).to_f32(), rest),
        None => (0.0, &[]),
    }
}

/// The fifth bits of 32 numbers, and the rest.
fn upper(bytes: &[u8]) -> (u32, &[u8]) {
    match bytes.split_first_chunk::<4>() {
        Some((bits, rest)) => (u32::from_le_bytes(*bits), rest),
        None => (0, &[]),
    }
}

/// 32 numbers whose lower four bits lie in 16 bytes, the second half above the first.
fn nibbles(bytes: &[u8], upper: u32) -> [u8; COLUMNS] {
    let mut numbers = [0; COLUMNS];
    let (first, second) = numbers.split_at_mut(COLUMNS / 2);
    for ((byte, a), b) in bytes.iter().zip(first).zip(second) {
        (*a, *b) = (byte & 15, byte >> 4);
    }
    for (at, number) in numbers.iter_mut().enumerate() {
        *number |= (((upper >> at) & 1) as u8) << 4;
    }
    numbers
}

/// Eight blocks of `Q4_K`, or of `Q5_K` with its numbers' fifth bits.
fn read_k(bytes: &[u8; 144], upper: &[u8], eight: &mut [Block; 8]) {
    let (scale, rest) = start(bytes);
    let (less, rest) = start(rest);
    let Some((packed, numbers)) = rest.split_first_chunk::<12>() else { return };
    let [a, b, c] = [0, 4, 8].map(|at| packed.get(at..at + 4).unwrap_or_default());
    for (sub, block) in eight.iter_mut().enumerate() {
        let at = sub % 4;
        let [a, b, c] = [a, b, c].map(|part| part.get(at).copied().unwrap_or(0));
        // Six bits each: the later four pairs keep their upper two bits with the earlier ones.
        let (own, taken) = if sub < 4 {
            (a & 63, b & 63)
        } else {
            ((c & 15) | ((a >> 6) << 4), (c >> 4) | ((b >> 6) << 4))
        };
        block.scale = scale * f32::from(own);
        block.other = less * f32::from(taken);
        let bytes = numbers.get(sub / 2 * 32..).unwrap_or_default();
        for (at, (place, byte)) in block.numbers.iter_mut().zip(bytes).enumerate() {
            let low = if sub % 2 == 0 { byte & 15 } else { byte >> 4 };
            *place = low | (upper.get(at).map_or(0, |bits| (bits >> sub) & 1) << 4);
        }
    }
}

fn read_q6_k(bytes: &[u8; 210], eight: &mut [Block; 8]) {
    let (low, rest) = bytes.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, rest) = rest.split_at(16);
    let (scale, _) = start(rest);
    for (sub, block) in eight.iter_mut().enumerate() {
        let (half, quarter) = (sub / 4, sub % 4);
        let low = low.get(half * 64 + quarter % 2 * 32..).unwrap_or_default();
        let high = high.get(half * 32..).unwrap_or_default();
        for (place, (low, high)) in block.numbers.iter_mut().zip(low.iter().zip(high)) {
            let four = if quarter < 2 { low & 15 } else { low >> 4 };
            *place = four | (((high >> (quarter * 2)) & 3) << 4);
        }
        let own = |at: usize| scale * f32::from(scales.get(at).copied().unwrap_or(0).cast_signed());
        (block.scale, block.other) = (own(sub * 2), own(sub * 2 + 1));
    }
}

/// Floats as 8-bit numbers with a scale.
fn eight_bits(values: &[f32; COLUMNS]) -> Block {
    let top = values.iter().fold(0.0f32, |top, value| top.max(value.abs()));
    let scale = f16::from_f32(top / 127.0).to_f32();
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut block = Block { scale, ..BLANK };
    for (place, value) in block.numbers.iter_mut().zip(values) {
        let rounded = (value * inverse).round().clamp(-127.0, 127.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 255")]
        let number = (rounded + 128.0) as u8;
        *place = number;
    }
    block
}
