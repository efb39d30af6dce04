//! A model's weights in words.

use std::collections::BTreeMap;

use super::super::header::{Header, TensorInfo, TensorKind};
use super::memory::is_quick_in_candle;
use super::{Speed, clipped, words};

/// A part of the weights below this many in a hundred decides nothing.
const FEW_PERCENT: u64 = 15;
/// What converters call a whole file, by `general.file_type`.
const FILE_TYPES: [(u64, &str); 18] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (21, "Q2_K_S"),
    (32, "BF16"),
];

/// The name for people: the file's, or its family with its size.
pub(super) fn title(header: &Header, architecture: &str) -> String {
    words(header, &["general.name", "general.basename"]).unwrap_or_else(|| {
        let size = header.text("general.size_label").map(clipped).unwrap_or_default();
        format!("{architecture} {size}").trim().to_owned()
    })
}

/// How the weights of the matrices are written down, the commonest kind first.
pub(super) fn quantisation(header: &Header) -> String {
    let mut kinds: BTreeMap<TensorKind, u64> = BTreeMap::new();
    for tensor in matrices(header) {
        *kinds.entry(tensor.kind).or_default() += tensor.weights();
    }
    let all: u64 = kinds.values().sum();
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, weights)| std::cmp::Reverse(*weights));
    let parts: Vec<String> = kinds
        .iter()
        .map(|(kind, weights)| match percent(*weights, all) {
            0 => format!("< 1 % {}", kind.name()),
            percent => format!("{percent} % {}", kind.name()),
        })
        .collect();
    let called = header.number("general.file_type");
    let called = called.and_then(|code| FILE_TYPES.iter().find(|(known, _)| *known == code));
    match (called, kinds.as_slice()) {
        (_, []) => String::new(),
        (_, [(kind, _)]) => kind.name().to_owned(),
        (Some((_, name)), _) => format!("{name}: {}", parts.join(", ")),
        (None, _) => parts.join(", "),
    }
}

/// How quickly this processor multiplies the weights, and a sentence when that is not quickly.
pub(super) fn speed(header: &Header, borrowed: bool, wide: bool) -> (Speed, Option<String>) {
    let all: u64 = matrices(header).map(TensorInfo::weights).sum();
    let share = |of: &dyn Fn(&TensorInfo) -> bool| {
        percent(matrices(header).filter(|t| of(t)).map(TensorInfo::weights).sum(), all)
    };
    let floats = share(&|tensor| !tensor.kind.is_quantised());
    if floats >= FEW_PERCENT {
        return (
            Speed::Slow,
            Some(format!(
                "{floats} % of the weights are floats, of which each token reads all: a file in \
                 Q4_K_M or Q8_0 answers several times as fast."
            )),
        );
    }
    if borrowed || !wide {
        let quick = share(&is_quick_in_candle);
        return if quick + FEW_PERCENT >= 100 {
            (Speed::Repacked, Some(copies()))
        } else {
            (Speed::Slow, Some(slow(quick, borrowed)))
        };
    }
    let grown = share(&|tensor| {
        matches!(
            tensor.kind,
            TensorKind::Q2_K | TensorKind::Q3_K | TensorKind::Q8_K | TensorKind::Q8_1
        )
    });
    if grown >= FEW_PERCENT {
        let sentence = format!(
            "{grown} % of the weights are of kinds that are laid out as 8-bit numbers here: the \
             model takes more memory than its file, and is no faster than in Q8_0."
        );
        return (Speed::Repacked, Some(sentence));
    }
    (Speed::Fast, None)
}

fn copies() -> String {
    "The weights are kept a second time in the order this processor multiplies them in: the model \
     takes several times the memory of its file."
        .to_owned()
}

fn slow(quick: u64, borrowed: bool) -> String {
    let whose = if borrowed { "this family" } else { "this processor" };
    format!(
        "There are quick kernels for {quick} % of the weights on {whose}: for Q4_K, Q6_K and Q8_0 \
         with rows of a multiple of 256."
    )
}

/// What is multiplied: vectors take no time.
fn matrices(header: &Header) -> impl Iterator<Item = &TensorInfo> {
    header.tensors.iter().filter(|tensor| tensor.rows() > 1)
}

fn percent(part: u64, all: u64) -> u64 {
    let rounded = (u128::from(part) * 100 + u128::from(all) / 2).checked_div(u128::from(all));
    u64::try_from(rounded.unwrap_or_default()).unwrap_or_default()
}
