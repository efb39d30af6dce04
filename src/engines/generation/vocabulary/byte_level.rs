//! Vocabularies that merge bytes, rank by rank (`tokenizer.ggml.model` is `gpt2`).

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

use super::super::faults::damaged;
use super::super::header::Header;
use super::super::pretokens::{Cutting, cutting};
use super::tokens::{Tokens, Use, byte_of_char, bytes_of, listed};
use crate::base::fault::Fault;

/// The tokens of the file, the machine that finds them in a text, and how texts are cut before.
pub(super) fn read(header: &Header) -> Result<(Tokens, Tokenizer, Cutting), Fault> {
    let (cutting, _) = cutting(header.text("tokenizer.ggml.pre"));
    let listed = listed(header)?;
    let table = byte_of_char();
    let mut tokens = Tokens::new();
    let mut vocabulary = Vocab::with_capacity(listed.len());
    for (token, (text, purpose)) in (0..).zip(&listed) {
        match purpose {
            Use::Text | Use::Byte => tokens.push(&bytes_of(text, &table), *purpose),
            _ => tokens.push(text.as_bytes(), *purpose),
        }
        // What is not text can so not be made of text, whatever the merges say.
        if matches!(purpose, Use::Text | Use::Byte) && !text.is_empty() {
            vocabulary.entry((*text).to_owned()).or_insert(token);
        }
    }
    tokens.find_ends(header, None);
    vocabulary.retain(|_, token| !tokens.is_mark(*token));
    let merges = merges(header, &vocabulary)?;
    let bpe = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .ignore_merges(cutting.whole_words)
        .build()
        .map_err(|e| damaged("The file's merges do not fit its tokens.").because(e))?;
    Ok((tokens, machine(bpe, cutting)?, cutting))
}

/// The pairs of tokens that are merged, the earlier first; what leads to no token is left out.
fn merges(header: &Header, vocabulary: &Vocab) -> Result<Vec<(String, String)>, Fault> {
    let lines = header
        .texts("tokenizer.ggml.merges")
        .ok_or_else(|| damaged("The file has tokens of bytes, and no list of merges."))?;
    let mut whole = String::new();
    let mut merges = Vec::with_capacity(lines.len());
    for line in lines {
        // A merge may itself begin with a space that was not written as another character.
        let Some(space) = line.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at)
        else {
            continue;
        };
        let (left, right) = line.split_at(space);
        let right = right.strip_prefix(' ').unwrap_or(right);
        whole.clear();
        whole.push_str(left);
        whole.push_str(right);
        if [left, right, &whole].iter().all(|text| vocabulary.contains_key(*text)) {
            merges.push((left.to_owned(), right.to_owned()));
        }
    }
    Ok(merges)
}

fn machine(bpe: BPE, cutting: Cutting) -> Result<Tokenizer, Fault> {
    let broken = |e| Fault::broken("cutting texts into words", e);
    let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
    for pattern in cutting.patterns {
        let pattern = SplitPattern::Regex((*pattern).to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(broken)?;
        steps.push(split.into());
    }
    steps.push(ByteLevel::new(false, false, false).into());
    let mut machine = Tokenizer::new(bpe);
    machine.with_pre_tokenizer(Some(Sequence::new(steps)));
    if cutting.composed {
        machine.with_normalizer(Some(NFC)).map_err(broken)?;
    }
    Ok(machine)
}
