//! How byte-level vocabularies cut a text into words before they merge bytes.
//!
//! A file names its way by `tokenizer.ggml.pre`; the patterns are those the models were trained with,
//! as their makers and llama.cpp publish them. Each pattern cuts further what the one before left.

/// One way of cutting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cutting {
    /// Applied one after the other.
    pub(super) patterns: &'static [&'static str],
    /// A word that is in the vocabulary as a whole is taken so, whatever the merges say.
    pub(super) whole_words: bool,
    /// A prompt begins with the token of beginnings when the file says nothing else.
    pub(super) begins: bool,
    /// Accents are composed before anything else.
    pub(super) composed: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Letters of the scripts with two cases, as the `DeepSeek` LLM vocabulary was cut.
const CASED: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const IDEOGRAPHS: &str = "[一-龥ࠀ-一가-퟿]+";

const PLAIN: Cutting =
    Cutting { patterns: &[GPT2], whole_words: false, begins: false, composed: false };

/// The way a file names; none when nobody here knows it.
fn known(name: &str) -> Option<Cutting> {
    let of = |patterns| Cutting { patterns, ..PLAIN };
    Some(match name {
        "gpt-2" | "phi-2" | "gigachat" | "a.x-4.0" | "mellum" | "exaone4" | "mpt" | "olmo"
        | "jais" | "trillion" | "granite-docling" => of(&[GPT2]),
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0"
        | "lfm2" => Cutting { whole_words: true, begins: true, ..of(&[LLAMA3]) },
        "dbrx" | "smaug-bpe" | "glm4" | "chatglm-bpe" => of(&[LLAMA3]),
        "qwen2" => Cutting { composed: true, ..of(&[QWEN2]) },
        "qwen35" => Cutting { composed: true, ..of(&[QWEN35]) },
        "deepseek-r1-qwen" | "kormo" | "megrez" | "stablelm2" | "hunyuan" | "solar-open"
        | "grok-2" => of(&[QWEN2]),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b" => {
            of(&[r"\p{N}", GPT2])
        }
        "tekken" => Cutting { whole_words: true, begins: true, ..of(&[TEKKEN]) },
        "gpt-4o" | "llama4" | "kanana2" | "minimax-m2" => of(&[GPT4O]),
        "deepseek-llm" => of(&[
            r"[\r\n]",
            CASED,
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            r"\s+$",
            IDEOGRAPHS,
            r"\p{N}+",
        ]),
        "deepseek-coder" => of(&[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", IDEOGRAPHS, r"\p{N}"]),
        "deepseek-v3" | "hunyuan-dense" | "joyai-llm" => {
            of(&[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3])
        }
        "falcon" => of(&[r"[\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"]),
        "poro-chat" | "bloom" | "gpt3-finnish" => of(&[r" ?[^(\s|.,!?…。，、।۔،)]+"]),
        "viking" => of(&[r" ?[^(\s|.,!?…。，、।۔،)]+", r"\p{N}"]),
        "bailingmoe" | "bailingmoe2" | "llada-moe" => of(&[BAILING]),
        "seed-coder" => of(&[SEED]),
        "default" | "" => of(&[r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
        _ => return None,
    })
}

/// The way of a file, and whether it is the one the file names: a way nobody here knows is taken for
/// that of most vocabularies of these years, which reads the same text with a few more tokens.
pub(super) fn cutting(name: Option<&str>) -> (Cutting, bool) {
    match known(name.unwrap_or_default()) {
        Some(cutting) => (cutting, name.is_some()),
        None => (Cutting { patterns: &[LLAMA3], ..PLAIN }, false),
    }
}
