//! From what was asked to ranked passages.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;

use tantivy::collector::TopDocs;
use tantivy::postings::TermInfo;
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, EmptyQuery, EnableScoring, FuzzyTermQuery,
    Occur, PhraseQuery, Query, RangeQuery, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{InvertedIndexReader, Searcher, Term};

use super::FullText;
use super::analysis::{language, terms};
use super::asked::{self, Clause, Place};
use super::highlight::Terms;
use super::schema::{Fields, Tongue};
use crate::base::fault::Fault;
use crate::base::tasks::caught;

/// Shorter words have too many neighbours for a slip to be told from another word.
pub(super) const FUZZY_LETTERS_MIN: usize = 4;
/// An unknown word is replaced by so many of its likeliest neighbours.
const FUZZY_TERMS_MAX: usize = 3;
/// What a neighbour counts, against a word as typed.
pub(super) const FUZZY_WEIGHT: f32 = 0.7;
/// Words of a question that are looked up; what follows adds time and no meaning.
pub(super) const WORDS_MAX: usize = 64;

/// Which passages may answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these collections; none of them means all.
    pub collections: Option<Vec<String>>,
    /// Only this language, as `fr`.
    pub language: Option<String>,
    /// Only paths that begin so.
    pub path_prefix: Option<String>,
    /// Only documents of this moment or later, in milliseconds since 1970.
    pub date_from: Option<i64>,
    /// Only documents of this moment or earlier.
    pub date_to: Option<i64>,
}

impl Filter {
    /// Whether it lets everything through.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }
}

/// What a search found.
#[derive(Debug, Clone, Default)]
pub struct Hits {
    /// Passages with their BM25 score, best first.
    pub hits: Vec<(u64, f32)>,
    /// What was looked for, for [`FullText::highlights`].
    pub terms: Terms,
    /// Words that the index does not hold, each with the words looked for instead, likeliest first.
    pub corrected: Vec<(String, Vec<String>)>,
    /// Whether the question holds conditions (phrases, fields, exclusions) that a passage found
    /// another way need not meet.
    pub strict: bool,
}

/// The passages of each segment within the filter's collections; none when all are. Words of other
/// passages are unknown to the question: neither known as typed nor offered as a spelling.
pub(super) struct Within(Option<Vec<Vec<bool>>>);

impl Within {
    pub(super) fn of(
        searcher: &Searcher,
        fields: &Fields,
        filter: &Filter,
    ) -> tantivy::Result<Self> {
        let Some(query) = in_collections(fields, filter) else { return Ok(Self(None)) };
        let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
        let mut segments = Vec::new();
        for segment in searcher.segment_readers() {
            let mut inside = vec![false; segment.max_doc() as usize];
            weight.for_each_no_score(segment, &mut |passages| {
                for passage in passages {
                    if let Some(place) = inside.get_mut(*passage as usize) {
                        *place = true;
                    }
                }
            })?;
            segments.push(inside);
        }
        Ok(Self(Some(segments)))
    }

    /// How many passages there are within the collections; none when all are.
    pub(super) fn passages(&self) -> Option<u64> {
        let segments = self.0.as_ref()?;
        Some(segments.iter().flatten().filter(|inside| **inside).count() as u64)
    }

    /// How many passages of a segment within the collections hold a term; at most `enough` are counted.
    pub(super) fn count(
        &self,
        ordinal: usize,
        inverted: &InvertedIndexReader,
        facts: &TermInfo,
        enough: u32,
    ) -> io::Result<u32> {
        let Some(segments) = &self.0 else { return Ok(facts.doc_freq.min(enough)) };
        let inside = segments.get(ordinal).map_or(&[] as &[bool], Vec::as_slice);
        let mut found = 0;
        let mut held =
            inverted.read_block_postings_from_terminfo(facts, IndexRecordOption::Basic)?;
        loop {
            let block = held.docs();
            if block.is_empty() || found >= enough {
                return Ok(found.min(enough));
            }
            let here = block.iter().filter(|p| inside.get(**p as usize) == Some(&true)).count();
            found = found.saturating_add(u32::try_from(here).unwrap_or(u32::MAX));
            held.advance();
        }
    }

    /// Whether any passage within the collections holds the term.
    fn hold(&self, searcher: &Searcher, term: &Term) -> tantivy::Result<bool> {
        for (ordinal, segment) in searcher.segment_readers().iter().enumerate() {
            let inverted = segment.inverted_index(term.field())?;
            if let Some(facts) = inverted.get_term_info(term)?
                && self.count(ordinal, &inverted, &facts, 1)? > 0
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The passages of the filter's collections, when it names any.
fn in_collections(fields: &Fields, filter: &Filter) -> Option<TermSetQuery> {
    let names = filter.collections.as_ref()?;
    Some(TermSetQuery::new(names.iter().map(|name| Term::from_field_text(fields.collection, name))))
}

/// A word of the question in one language.
type Wanted = BTreeMap<(Field, String), f32>;

impl FullText {
    /// The `k` best passages for `query`.
    ///
    /// Plain words are alternatives, ranked by BM25; a phrase in straight or curly double quotes
    /// and a word of a field (`title:`, `heading:`, `path:`) must be there, `-word` must not.
    /// A word that the index holds in no language is taken for a slip of one letter.
    ///
    /// # Errors
    /// `empty_query` when nothing is asked, `Broken` with what tantivy says.
    pub fn search(&self, query: &str, filter: &Filter, k: usize) -> Result<Hits, Fault> {
        let clauses = asked::read(query);
        if clauses.is_empty() {
            return Err(Fault::invalid("empty_query", "There is no word to look for."));
        }
        if k == 0 {
            return Ok(Hits::default());
        }
        caught(|| {
            let searcher = self.reader.searcher();
            let mut hits = Hits::default();
            let asked = self
                .translate(&searcher, &clauses, filter, &mut hits)
                .map_err(|e| Fault::broken("looking words up", e))?;
            hits.hits = collect(&searcher, asked.as_ref(), k)
                .map_err(|e| Fault::broken("searching the index", e))?;
            Ok(hits)
        })
    }

    /// The languages to look in.
    fn tongues<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Tongue> + Clone {
        let only = filter.language.as_deref().map(language);
        self.fields.tongues.iter().filter(move |t| only.is_none_or(|code| code == t.code))
    }

    fn translate(
        &self,
        searcher: &Searcher,
        clauses: &[Clause],
        filter: &Filter,
        hits: &mut Hits,
    ) -> tantivy::Result<Box<dyn Query>> {
        let mut wanted = Wanted::new();
        let within = Within::of(searcher, &self.fields, filter)?;
        let mut parts: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for clause in clauses.iter().take(WORDS_MAX) {
            let plain = !clause.phrase && clause.place == Place::Anywhere;
            if plain && !clause.excluded {
                self.want(searcher, (&clause.text, filter, &within), &mut wanted, hits)?;
                continue;
            }
            hits.strict = true;
            let occur = if clause.excluded { Occur::MustNot } else { Occur::Must };
            if let Some(query) = self.condition(clause, filter) {
                parts.push((occur, query));
            }
            if !clause.excluded && clause.place == Place::Anywhere {
                hits.terms.words.extend(terms(&self.fields.plain, &clause.text));
            }
        }
        if wanted.is_empty() && !hits.strict && hits.corrected.is_empty() {
            self.want_exactly(clauses, &mut wanted, hits);
        }
        let words: Vec<(Occur, Box<dyn Query>)> = wanted
            .into_iter()
            .map(|((field, term), weight)| (Occur::Should, weighted(field, &term, weight)))
            .collect();
        let required = parts.iter().any(|(occur, _)| *occur == Occur::Must);
        if words.is_empty() && !required {
            return Ok(Box::new(EmptyQuery));
        }
        let filters = self.filters(filter);
        if parts.is_empty() && filters.is_empty() {
            // A plain union of terms is what tantivy skips through block by block.
            return Ok(Box::new(BooleanQuery::new(words)));
        }
        if !words.is_empty() {
            let occur = if required { Occur::Should } else { Occur::Must };
            parts.push((occur, Box::new(BooleanQuery::new(words))));
        }
        parts.extend(filters);
        Ok(Box::new(BooleanQuery::new(parts)))
    }

    /// Adds the terms of a word in every language to `wanted`, or those of its likeliest spellings.
    fn want(
        &self,
        searcher: &Searcher,
        (word, filter, within): (&str, &Filter, &Within),
        wanted: &mut Wanted,
        hits: &mut Hits,
    ) -> tantivy::Result<()> {
        // A "word" between spaces may be several, as "l'homme"; each stands for itself.
        for part in terms(&self.fields.plain, word) {
            let spelled = self.as_spelled(word, &part);
            let mut known = false;
            let mut unknown = Vec::new();
            for tongue in self.tongues(filter) {
                for term in terms(&tongue.analysis, spelled) {
                    if within.hold(searcher, &Term::from_field_text(tongue.field, &term))? {
                        known = true;
                        note(wanted, hits, tongue, term, 1.0);
                    } else {
                        unknown.push((tongue, term));
                    }
                }
            }
            if !known && part.chars().count() >= FUZZY_LETTERS_MIN && !unknown.is_empty() {
                let near = near(searcher, within, &unknown)?;
                let mut words = Vec::new();
                for (tongue, term) in near {
                    if !words.contains(&term) {
                        words.push(term.clone());
                    }
                    note(wanted, hits, tongue, term, FUZZY_WEIGHT);
                }
                if !words.is_empty() {
                    let shown = self.whole_words(searcher, within, &part)?;
                    hits.corrected.push((part, if shown.is_empty() { words } else { shown }));
                }
            }
        }
        Ok(())
    }

    /// The piece of `word` that became `part`, with its accents, which the stemmers read.
    fn as_spelled<'a>(&self, word: &'a str, part: &'a str) -> &'a str {
        let mut analysis = self.fields.plain.clone();
        let mut stream = analysis.token_stream(word);
        while let Some(token) = tantivy::tokenizer::TokenStream::next(&mut stream) {
            if token.text == part {
                return word.get(token.offset_from..token.offset_to).unwrap_or(part);
            }
        }
        part
    }

    /// A question of stop words alone ("être ou ne pas être") is looked for word by word.
    fn want_exactly(&self, clauses: &[Clause], wanted: &mut Wanted, hits: &mut Hits) {
        for clause in clauses {
            for term in terms(&self.fields.plain, &clause.text) {
                hits.terms.words.insert(term.clone());
                *wanted.entry((self.fields.exact, term)).or_default() += 1.0;
            }
        }
    }

    /// Whole words near a misspelt one, for people to read.
    fn whole_words(
        &self,
        searcher: &Searcher,
        within: &Within,
        word: &str,
    ) -> tantivy::Result<Vec<String>> {
        let found = neighbours(searcher, within, self.fields.exact, word)?;
        let mut found: Vec<(u32, String)> = found.into_iter().map(|(term, n)| (n, term)).collect();
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        Ok(found.into_iter().take(FUZZY_TERMS_MAX).map(|(_, term)| term).collect())
    }

    /// A clause that is required or excluded.
    fn condition(&self, clause: &Clause, filter: &Filter) -> Option<Box<dyn Query>> {
        let field = match clause.place {
            Place::Anywhere => self.fields.exact,
            Place::Title => self.fields.title,
            Place::Heading => self.fields.heading,
            Place::Path => self.fields.path_words,
        };
        let words = terms(&self.fields.plain, &clause.text);
        let together = phrase(field, &words)?;
        if clause.excluded && words.len() > 1 {
            // tantivy 0.27 asks an excluded phrase for passages it has already gone by, which a
            // phrase answers with a failed assertion and a union of any two queries does not.
            return Some(Box::new(BooleanQuery::union(vec![together.box_clone(), together])));
        }
        if clause.phrase || words.len() > 1 || clause.place == Place::Path {
            return Some(together);
        }
        // One bare word matches in all its forms, as it would without the field.
        let mut either: Vec<(Occur, Box<dyn Query>)> = vec![(Occur::Should, together)];
        for tongue in self.tongues(filter) {
            for term in terms(&tongue.analysis, &clause.text) {
                let field = if clause.place == Place::Anywhere { tongue.field } else { field };
                either.push((Occur::Should, weighted(field, &term, 1.0)));
            }
        }
        Some(Box::new(BooleanQuery::new(either)))
    }

    fn filters(&self, filter: &Filter) -> Vec<(Occur, Box<dyn Query>)> {
        let fields = &self.fields;
        let mut queries: Vec<Box<dyn Query>> = Vec::new();
        if let Some(query) = in_collections(fields, filter) {
            queries.push(Box::new(query));
        }
        if let Some(code) = &filter.language {
            let term = Term::from_field_text(fields.language, code);
            queries.push(Box::new(TermQuery::new(term, IndexRecordOption::Basic)));
        }
        if let Some(prefix) = filter.path_prefix.as_deref().filter(|p| !p.is_empty()) {
            // U+10FFFF sorts after every character a path can hold.
            let from = Term::from_field_text(fields.path, prefix);
            let to = Term::from_field_text(fields.path, &format!("{prefix}\u{10ffff}"));
            queries.push(Box::new(RangeQuery::new(Bound::Included(from), Bound::Excluded(to))));
        }
        if filter.date_from.is_some() || filter.date_to.is_some() {
            let bound = |date: Option<i64>| {
                date.map_or(Bound::Unbounded, |d| {
                    Bound::Included(Term::from_field_i64(fields.date, d))
                })
            };
            queries.push(Box::new(RangeQuery::new(bound(filter.date_from), bound(filter.date_to))));
        }
        // Filters choose and do not score.
        queries
            .into_iter()
            .map(|q| (Occur::Must, Box::new(ConstScoreQuery::new(q, 0.0)) as Box<dyn Query>))
            .collect()
    }

    /// The ids of passages that meet the conditions of `query` and `filter`, whatever their score,
    /// at most `limit` of them; `None` when there are more.
    ///
    /// With it a caller keeps what another retriever found within the conditions of the question.
    ///
    /// # Errors
    /// `Broken` with what tantivy says.
    pub fn allowed(
        &self,
        query: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Option<BTreeSet<u64>>, Fault> {
        caught(|| {
            let mut parts: Vec<(Occur, Box<dyn Query>)> = vec![(Occur::Must, Box::new(AllQuery))];
            for clause in asked::read(query).iter().take(WORDS_MAX) {
                if (clause.phrase || clause.excluded || clause.place != Place::Anywhere)
                    && let Some(query) = self.condition(clause, filter)
                {
                    parts.push((if clause.excluded { Occur::MustNot } else { Occur::Must }, query));
                }
            }
            parts.extend(self.filters(filter));
            let found = collect(
                &self.reader.searcher(),
                &BooleanQuery::new(parts),
                limit.saturating_add(1),
            )
            .map_err(|e| Fault::broken("searching the index", e))?;
            Ok((found.len() <= limit).then(|| found.into_iter().map(|(id, _)| id).collect()))
        })
    }
}

fn collect(searcher: &Searcher, query: &dyn Query, k: usize) -> tantivy::Result<Vec<(u64, f32)>> {
    let found = searcher.search(query, &TopDocs::with_limit(k).order_by_score())?;
    let mut columns = BTreeMap::new();
    found
        .into_iter()
        .map(|(score, address)| {
            let ids = match columns.entry(address.segment_ord) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => new
                    .insert(searcher.segment_reader(address.segment_ord).fast_fields().u64("id")?),
            };
            Ok((ids.first(address.doc_id).unwrap_or_default(), score))
        })
        .collect()
}

fn note(wanted: &mut Wanted, hits: &mut Hits, tongue: &Tongue, term: String, weight: f32) {
    hits.terms.stems.entry(tongue.code).or_default().insert(term.clone());
    *wanted.entry((tongue.field, term)).or_default() += weight;
}

fn weighted(field: Field, term: &str, weight: f32) -> Box<dyn Query> {
    let term = TermQuery::new(Term::from_field_text(field, term), IndexRecordOption::WithFreqs);
    if (weight - 1.0).abs() < f32::EPSILON {
        Box::new(term)
    } else {
        Box::new(BoostQuery::new(Box::new(term), weight))
    }
}

fn phrase(field: Field, words: &[String]) -> Option<Box<dyn Query>> {
    match words {
        [] => None,
        [word] => Some(weighted(field, word, 1.0)),
        _ => {
            let terms = words.iter().map(|w| Term::from_field_text(field, w)).collect();
            Some(Box::new(PhraseQuery::new(terms)))
        }
    }
}

/// The likeliest terms one slip away from an unknown word, over all languages.
pub(super) fn near<'a>(
    searcher: &Searcher,
    within: &Within,
    unknown: &[(&'a Tongue, String)],
) -> tantivy::Result<Vec<(&'a Tongue, String)>> {
    let mut found: Vec<(u32, &Tongue, String)> = Vec::new();
    for (tongue, word) in unknown {
        if word.chars().count() >= FUZZY_LETTERS_MIN {
            let near = neighbours(searcher, within, tongue.field, word)?;
            found.extend(near.into_iter().map(|(term, count)| (count, *tongue, term)));
        }
    }
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.2.cmp(&b.2)));
    found.truncate(FUZZY_TERMS_MAX);
    Ok(found.into_iter().map(|(_, tongue, term)| (tongue, term)).collect())
}

/// The terms of a field at most one slip (a letter more, less, other or swapped with its neighbour)
/// away from `word`, with the number of passages that hold each.
fn neighbours(
    searcher: &Searcher,
    within: &Within,
    field: Field,
    word: &str,
) -> tantivy::Result<BTreeMap<String, u32>> {
    let slip = FuzzyTermQuery::new(Term::from_field_text(field, word), 1, true);
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    for (ordinal, segment) in searcher.segment_readers().iter().enumerate() {
        let inverted = segment.inverted_index(field)?;
        let mut stream = inverted.terms().search(slip.automaton()?).into_stream()?;
        while let Some((term, facts)) = stream.next() {
            if let Ok(term) = std::str::from_utf8(term)
                && term.chars().count() >= FUZZY_LETTERS_MIN
            {
                let count = within.count(ordinal, &inverted, facts, u32::MAX)?;
                if count > 0 {
                    *found.entry(term.to_owned()).or_default() += count;
                }
            }
        }
    }
    Ok(found)
}
