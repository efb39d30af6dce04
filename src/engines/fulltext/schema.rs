//! The fields of the index and what a passage puts into them.

use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{PreTokenizedString, TextAnalyzer, Token, TokenStream};
use tantivy::{TantivyDocument, Term};

use super::Entry;
use super::analysis::{self, EXACT, LANGUAGES};

/// A gap between title, headings and text that no phrase reaches over.
const GAP: usize = 100;

/// A language's field and its analysis.
#[derive(Clone)]
pub(super) struct Tongue {
    pub(super) code: &'static str,
    pub(super) field: Field,
    pub(super) analysis: TextAnalyzer,
}

/// Every field, by name.
#[derive(Clone)]
pub(super) struct Fields {
    pub(super) id: Field,
    pub(super) doc: Field,
    pub(super) collection: Field,
    pub(super) language: Field,
    pub(super) path: Field,
    pub(super) path_words: Field,
    pub(super) date: Field,
    pub(super) title: Field,
    pub(super) heading: Field,
    pub(super) exact: Field,
    pub(super) tongues: Vec<Tongue>,
    pub(super) plain: TextAnalyzer,
}

/// The schema with its fields. Changing it makes every folder of the old one a damaged index, which
/// is rebuilt.
pub(super) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let words = |analysis: &str, record| {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default().set_tokenizer(analysis).set_index_option(record),
        )
    };
    let places = words(EXACT, IndexRecordOption::WithFreqsAndPositions);
    let fields = Fields {
        id: builder.add_u64_field("id", INDEXED | FAST),
        doc: builder.add_u64_field("doc", INDEXED | FAST),
        collection: builder.add_text_field("collection", STRING),
        language: builder.add_text_field("language", STRING),
        path: builder.add_text_field("path", STRING),
        path_words: builder.add_text_field("path_words", places.clone()),
        date: builder.add_i64_field("date", FAST),
        title: builder.add_text_field("title", places.clone()),
        heading: builder.add_text_field("heading", places.clone()),
        exact: builder.add_text_field("exact", places),
        tongues: LANGUAGES
            .into_iter()
            .map(|code| Tongue {
                code,
                field: builder.add_text_field(code, words(code, IndexRecordOption::WithFreqs)),
                analysis: analysis::stemmed(code),
            })
            .collect(),
        plain: analysis::exact(),
    };
    (builder.build(), fields)
}

impl Fields {
    /// The term that finds one passage.
    pub(super) fn id_term(&self, id: u64) -> Term {
        Term::from_field_u64(self.id, id)
    }

    /// The field of a language, or of all others.
    pub(super) fn tongue(&self, code: &str) -> Option<&Tongue> {
        let code = analysis::language(code);
        self.tongues.iter().find(|t| t.code == code)
    }

    /// What a passage puts into the index: title and headings stand in front of its text, since
    /// that ranks better than fields of their own.
    pub(super) fn document(&self, entry: &Entry) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_u64(self.id, entry.id);
        document.add_u64(self.doc, entry.doc);
        document.add_text(self.collection, entry.collection);
        document.add_text(self.language, entry.language);
        document.add_text(self.path, entry.path);
        document.add_pre_tokenized_text(self.path_words, joined(&[entry.path], &self.plain));
        document.add_i64(self.date, entry.date);
        let parts = [entry.title, entry.heading, entry.text];
        document.add_pre_tokenized_text(self.exact, joined(&parts, &self.plain));
        if let Some(tongue) = self.tongue(entry.language) {
            document.add_pre_tokenized_text(tongue.field, joined(&parts, &tongue.analysis));
            // Stems and whole words together, so that both `title:contrats` and a phrase match.
            for (field, text) in [(self.title, entry.title), (self.heading, entry.heading)] {
                document.add_pre_tokenized_text(field, joined(&[text], &self.plain));
                document.add_pre_tokenized_text(field, joined(&[text], &tongue.analysis));
            }
        }
        document
    }
}

/// The terms of several texts as those of one, with a gap between them.
fn joined(texts: &[&str], analysis: &TextAnalyzer) -> PreTokenizedString {
    let mut analysis = analysis.clone();
    let mut tokens: Vec<Token> = Vec::new();
    for text in texts {
        let shift = tokens.last().map_or(0, |t| t.position + GAP);
        let mut stream = analysis.token_stream(text);
        while let Some(token) = stream.next() {
            let mut token = token.clone();
            token.position += shift;
            tokens.push(token);
        }
    }
    PreTokenizedString { text: String::new(), tokens }
}
