//! Answers that keep to a JSON Schema, by llguidance: which tokens may come next.
//!
//! The answer is written without white space between its parts but for one blank after a comma or a
//! colon: a model that may write blanks as it likes may write nothing else.

use std::sync::Arc;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{
    ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie,
};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use super::sampling::Mask;
use super::wire::named;
use crate::base::fault::Fault;
use crate::base::tasks::caught;

/// The largest schema, bytes of its text.
pub(super) const SCHEMA_BYTES_MAX: usize = 256 << 10;
/// The largest grammar that a schema may become, symbols.
const GRAMMAR_SYMBOLS_MAX: usize = 100_000;
/// What making the grammar ready may cost, in the library's units: about 20 ms.
const LEXER_FUEL_MAX: u64 = 1_000_000;
/// States that the grammar may grow while an answer is written: about a kilobyte each.
const LEXER_STATES_MAX: usize = 50_000;
/// No sentence about a schema is longer, characters.
const REASON_CHARS_MAX: usize = 300;

/// Makes grammars for one vocabulary.
pub(super) struct Grammars(ParserFactory);

impl Grammars {
    /// For a vocabulary of these texts; `special` tells which tokens no grammar writes, `ends` which of
    /// them end an answer.
    ///
    /// # Errors
    /// `schema_unsupported` when the vocabulary has no end, or is none.
    pub fn new<'v>(
        count: usize,
        bytes: impl Fn(u32) -> &'v [u8],
        special: impl Fn(u32) -> bool,
        ends: &[u32],
    ) -> Result<Self, Fault> {
        let count = u32::try_from(count).map_err(|e| unsupported("").because(e))?;
        let known = ends.iter().all(|end| *end < count);
        let Some(end) = ends.first().filter(|_| known) else {
            return Err(unsupported("the model has no token that ends an answer"));
        };
        let words: Vec<Vec<u8>> = (0..count)
            .map(|token| {
                if special(token) || ends.contains(&token) {
                    // No text begins with this byte, so no grammar allows the token.
                    let mut word = vec![TokTrie::SPECIAL_TOKEN_MARKER];
                    word.extend_from_slice(format!("<{token}>").as_bytes());
                    word
                } else {
                    bytes(token).to_vec()
                }
            })
            .collect();
        caught(|| {
            let trie = TokTrie::from(&TokRxInfo::new(count, *end), &words).with_eos_tokens(ends);
            let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
            let mut factory =
                ParserFactory::new(&environment, InferenceCapabilities::default(), &[])
                    .map_err(|e| unsupported("the vocabulary is not usable").because(e))?;
            factory.quiet();
            *factory.limits_mut() = ParserLimits {
                initial_lexer_fuel: LEXER_FUEL_MAX,
                max_lexer_states: LEXER_STATES_MAX,
                max_grammar_size: GRAMMAR_SYMBOLS_MAX,
                verbose_errors: false,
                ..ParserLimits::default()
            };
            Ok(Self(factory))
        })
    }

    /// The grammar of a JSON Schema.
    ///
    /// # Errors
    /// `schema_unsupported` with the reason.
    pub fn compile(&self, schema: &str) -> Result<Grammar, Fault> {
        if schema.len() > SCHEMA_BYTES_MAX {
            let bytes = schema.len();
            return Err(unsupported(&format!(
                "it has {bytes} bytes, and {SCHEMA_BYTES_MAX} are the most"
            )));
        }
        let schema: Value = serde_json::from_str(schema)
            .map_err(|e| unsupported(&format!("it is no JSON: {e}")))?;
        let mut schema = match schema {
            Value::Object(_) => schema,
            // Anything at all.
            Value::Bool(true) => json!({}),
            _ => return Err(unsupported("it is no object")),
        };
        // Said here for every schema, and over what the schema may say: how it is written down is the
        // box's own business.
        if let Some(fields) = schema.as_object_mut() {
            fields.insert("x-guidance".into(), json!({"whitespace_flexible": false}));
        }
        super::references::check(&schema).map_err(|reason| unsupported(&reason))?;
        let mut matcher = caught(|| {
            let parser = self.0.create_parser(TopLevelGrammar::from_json_schema(schema));
            Ok(Matcher::new(parser))
        })
        .map_err(|e| unsupported("it cannot be understood").because(e))?;
        if let Some(reason) = matcher.get_error() {
            return Err(unsupported(&reason));
        }
        // Some schemas show only here that nothing keeps to them, and it is the schema's fault still.
        let mask = caught(|| {
            matcher.compute_mask_or_eos().map_err(|e| Fault::broken("a first mask", e.to_string()))
        });
        let mask = mask.map_err(|e| {
            let reason = matcher.get_error();
            unsupported(reason.as_deref().unwrap_or("nothing can be written under it")).because(e)
        })?;
        Ok(Grammar { matcher, mask, ready: true })
    }
}

/// Where one answer is in its grammar.
pub(super) struct Grammar {
    matcher: Matcher,
    mask: SimpleVob,
    /// Whether `mask` is what may come next.
    ready: bool,
}

impl Grammar {
    /// What may come next. The tokens that end an answer are among it only where it may end.
    ///
    /// # Errors
    /// `generation_failed` when it cannot be told within the limits.
    pub fn mask(&mut self) -> Result<Mask<'_>, Fault> {
        if !std::mem::take(&mut self.ready) {
            let matcher = &mut self.matcher;
            self.mask = caught(|| matcher.compute_mask_or_eos().map_err(|e| failed().because(e)))
                .map_err(|e| failed().because(e))?;
        }
        Ok(Mask(self.mask.as_slice()))
    }

    /// The answer goes on with `token`.
    ///
    /// # Errors
    /// `generation_failed` when it may not.
    pub fn accept(&mut self, token: u32) -> Result<(), Fault> {
        self.ready = false;
        caught(|| self.matcher.consume_token(token).map_err(|e| failed().because(e)))
            .map_err(|e| failed().because(e))
    }

    /// Whether the answer is whole and nothing may follow.
    pub fn finished(&self) -> bool {
        self.matcher.is_stopped()
    }
}

fn unsupported(reason: &str) -> Fault {
    // What a library says when it breaks is for the log, and so is where it broke.
    let reason = match reason.split("<backtrace>").next().unwrap_or_default() {
        broke if broke.trim_start().starts_with("panic") => "it cannot be understood",
        reason => reason,
    };
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let reason: String = reason.trim_end_matches('.').chars().take(REASON_CHARS_MAX).collect();
    named("schema_unsupported", format!("The JSON Schema cannot be kept to: {reason}."))
}

fn failed() -> Fault {
    named("generation_failed", "The answer cannot go on within its JSON Schema.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::generation::options::Options;
    use crate::engines::generation::sampling::Sampler;

    /// Every byte, some longer words, and an end.
    fn words() -> Vec<Vec<u8>> {
        let longer = ["{\"", "\": ", "\", \"", "true", "nom", "é", "12", "\"}", "bus", "tram"];
        let bytes = (0..=255_u8).map(|byte| vec![byte]);
        bytes.chain(longer.map(|word| word.as_bytes().to_vec())).chain([b"</s>".to_vec()]).collect()
    }

    fn grammars(words: &[Vec<u8>]) -> Grammars {
        let end = u32::try_from(words.len() - 1).unwrap();
        Grammars::new(words.len(), |t| words[t as usize].as_slice(), |_| false, &[end]).unwrap()
    }

    /// What chance writes under a schema, with no model at all.
    fn written(schema: &Value, seed: u64) -> String {
        let words = words();
        let mut grammar = grammars(&words).compile(&schema.to_string()).unwrap();
        let options = Options { temperature: 1.0, top_k: 0, top_p: 1.0, ..Options::default() };
        let mut sampler = Sampler::new(&options, seed);
        let mut text = Vec::new();
        for _ in 0..2000 {
            let mask = grammar.mask().unwrap();
            let token = sampler.draw(&mut vec![0.0; words.len()], &[], Some(mask)).unwrap();
            if token as usize == words.len() - 1 {
                break;
            }
            text.extend_from_slice(&words[token as usize]);
            grammar.accept(token).unwrap();
            if grammar.finished() {
                break;
            }
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn chance_keeps_to_the_schema() {
        let schema = json!({
            "type": "object", "additionalProperties": false,
            "required": ["ligne", "nom", "arrêts", "ouvert"],
            "properties": {
                "ligne": {"enum": ["bus", "tram", "métro"]},
                "nom": {"type": "string", "minLength": 1, "maxLength": 6},
                "arrêts": {"type": "array", "minItems": 1, "maxItems": 3,
                    "items": {"type": "integer", "minimum": 0, "maximum": 99}},
                "ouvert": {"type": "boolean"},
            },
        });
        for seed in 0..20 {
            let text = written(&schema, seed);
            let value: Value =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(["bus", "tram", "métro"].contains(&value["ligne"].as_str().unwrap()), "{text}");
            assert!((1..=6).contains(&value["nom"].as_str().unwrap().chars().count()), "{text}");
            let stops = value["arrêts"].as_array().unwrap();
            assert!((1..=3).contains(&stops.len()), "{text}");
            assert!(stops.iter().all(|stop| stop.as_u64().unwrap() <= 99), "{text}");
            assert!(
                value["ouvert"].is_boolean() && value.as_object().unwrap().len() == 4,
                "{text}"
            );
        }
    }

    #[test]
    fn an_end_comes_only_where_the_answer_may_end() {
        let words = words();
        let end = u32::try_from(words.len() - 1).unwrap();
        let mut grammar = grammars(&words).compile(r#"{"type": "integer"}"#).unwrap();
        assert!(!grammar.mask().unwrap().allows(end), "nothing was written yet");
        grammar.accept(u32::from(b'7')).unwrap();
        let mask = grammar.mask().unwrap();
        assert!(mask.allows(end) && mask.allows(u32::from(b'0')) && !mask.allows(u32::from(b'x')));
        assert_eq!(grammar.accept(u32::from(b'x')).unwrap_err().code, "generation_failed");
    }

    #[test]
    fn what_cannot_be_kept_to_is_named() {
        let words = words();
        let grammars = grammars(&words);
        let refused = |schema: &str| {
            let fault = grammars.compile(schema).err().unwrap_or_else(|| panic!("{schema}"));
            assert_eq!(fault.code, "schema_unsupported");
            println!("{fault}");
            fault.message
        };
        refused("{");
        refused("false");
        refused("[1]");
        assert!(refused(r#"{"type": "banana"}"#).contains("banana"));
        refused(r#"{"$ref": "https://example.com/schema.json"}"#);
        refused(r#"{"type": "string", "pattern": "("}"#);
        refused(r#"{"type": "object", "patternProperties": {"(": {}}}"#);
        refused(r#"{"type": "integer", "minimum": 5, "maximum": 1}"#);
        refused(&format!("\"{}\"", "a".repeat(SCHEMA_BYTES_MAX)));
        refused(&format!("{}{{}}{}", r#"{"items":"#.repeat(200), "}".repeat(200)));
        assert!(grammars.compile("true").is_ok());
    }

    #[test]
    fn no_schema_takes_the_box_hostage() {
        let words = words();
        let grammars = grammars(&words);
        let begun = std::time::Instant::now();
        let costly = json!({"type": "string", "pattern": "^((a|b|c|d){1,500}x){1,500}$"});
        let many: serde_json::Map<String, Value> =
            (0..3000).map(|n| (format!("p{n}"), json!({"enum": ["a", n, null]}))).collect();
        let wide = json!({"type": "object", "properties": many});
        let mut deep = json!({"enum": ["a"]});
        for n in 0..60 {
            deep = json!({"anyOf": [{"type": "array", "items": deep}, {"const": n}]});
        }
        for schema in [costly, wide, deep] {
            match grammars.compile(&schema.to_string()) {
                Ok(mut grammar) => assert!(grammar.mask().is_ok()),
                Err(fault) => assert_eq!(fault.code, "schema_unsupported"),
            }
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_long_chain_of_references_is_refused_before_it_overflows() {
        let words = words();
        let grammars = grammars(&words);
        let chain = |count: usize, link: &dyn Fn(String) -> Value| {
            let links: serde_json::Map<String, Value> = (0..count)
                .map(|n| (format!("d{n}"), link(format!("#/$defs/d{}", n + 1))))
                .chain([(format!("d{count}"), json!({"type": "integer"}))])
                .collect();
            json!({"$defs": links, "$ref": "#/$defs/d0"}).to_string()
        };
        let plain = |to: String| json!({"$ref": to});
        let all = |to: String| json!({"allOf": [{"$ref": to}]});
        let items = |to: String| json!({"type": "array", "items": {"$ref": to}});
        let doubled = |to: String| json!({"allOf": [{"$ref": to.clone()}, {"$ref": to}]});
        for link in [&plain as &dyn Fn(String) -> Value, &all, &items] {
            let fault = grammars.compile(&chain(2000, link)).err().unwrap();
            assert_eq!(fault.code, "schema_unsupported");
            assert!(grammars.compile(&chain(5, link)).is_ok());
        }
        assert!(grammars.compile(&chain(20, &doubled)).is_err(), "it doubles twenty times");
        for circular in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}},
                "$ref": "#/$defs/a"}),
        ] {
            let fault = grammars.compile(&circular.to_string()).err().unwrap();
            assert_eq!(fault.code, "schema_unsupported");
        }
        let tree = json!({"type": "object", "additionalProperties": false,
            "properties": {"of": {"type": "array", "items": {"$ref": "#"}}}});
        assert!(grammars.compile(&tree.to_string()).is_ok(), "what nests may nest");
    }

    #[test]
    fn no_librarys_words_on_breaking_are_repeated() {
        let broke = unsupported("panic: attempt to negate with overflow <backtrace> at x.rs:1");
        assert!(!broke.message.contains("panic") && !broke.message.contains("x.rs"), "{broke}");
        assert!(unsupported("too deep <backtrace> y").message.ends_with("too deep."));
    }
}
