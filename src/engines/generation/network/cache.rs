//! What a network remembers of a text: the keys and values of its tokens, in pages that texts with
//! the same beginning share.

use std::sync::Arc;

use half::f16;

use super::shape::Shape;

/// Tokens of one page. Attention reads a page's keys side by side, so it is a multiple of the widest
/// registers' lanes.
pub(super) const PAGE: usize = 64;

/// The memory of one text.
#[derive(Debug, Clone)]
pub struct Cache {
    layers: usize,
    kv_heads: usize,
    head_size: usize,
    pages: Vec<Arc<Vec<f16>>>,
    len: usize,
    /// The tokens themselves, for a network that keeps its memory to itself.
    pub(super) borrowed: Option<Vec<u32>>,
}

impl Cache {
    /// An empty memory for a network of this shape.
    pub(super) fn new(shape: &Shape) -> Self {
        Self {
            layers: shape.layers,
            kv_heads: shape.kv_heads,
            head_size: shape.head_size,
            pages: Vec::new(),
            len: 0,
            borrowed: shape.family.is_borrowed().then(Vec::new),
        }
    }

    /// Whether it was made for a network of this shape.
    pub(super) fn fits(&self, shape: &Shape) -> bool {
        (self.layers, self.kv_heads, self.head_size)
            == (shape.layers, shape.kv_heads, shape.head_size)
            && self.borrowed.is_some() == shape.family.is_borrowed()
    }

    /// Tokens remembered.
    pub fn len(&self) -> usize {
        self.borrowed.as_ref().map_or(self.len, Vec::len)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything behind the first `len` tokens; false when this family cannot: start anew.
    pub fn truncate(&mut self, len: usize) -> bool {
        if len >= self.len() {
            return true;
        }
        if self.borrowed.is_some() {
            return false;
        }
        self.len = len;
        self.pages.truncate(len.div_ceil(PAGE));
        true
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.len = 0;
        if let Some(own) = &mut self.borrowed {
            own.clear();
        }
    }

    /// Bytes of its pages, those included that it shares with other texts.
    pub fn bytes(&self) -> u64 {
        let numbers: usize = self.pages.iter().map(|page| page.len()).sum();
        (numbers * size_of::<f16>()) as u64
    }

    /// The memory of a second text that begins with the first `len` tokens of this one, whose pages it
    /// shares; none where the family keeps its memory to itself or the text is not that long.
    pub fn fork(&self, len: usize) -> Option<Self> {
        if self.borrowed.is_some() || len > self.len {
            return None;
        }
        let mut fork = self.clone();
        fork.truncate(len);
        Some(fork)
    }

    /// Makes room for `count` more tokens, in pages that are this text's alone.
    pub(super) fn reserve(&mut self, count: usize) {
        let first = self.len / PAGE;
        for page in self.pages.iter_mut().skip(first) {
            Arc::make_mut(page);
        }
        let wanted = (self.len + count).div_ceil(PAGE);
        let size = self.layers * self.kv_heads * self.head_size * PAGE * 2;
        while self.pages.len() < wanted {
            self.pages.push(Arc::new(vec![f16::ZERO; size]));
        }
    }

    /// Counts tokens whose keys and values every layer has put down.
    pub(super) fn grow(&mut self, count: usize) {
        self.len += count;
    }

    /// Puts down one token's keys and values, all heads one behind the other.
    pub(super) fn put(&mut self, layer: usize, position: usize, keys: &[f32], values: &[f32]) {
        let (page, at) = (position / PAGE, position % PAGE);
        let Some(page) = self.pages.get_mut(page).and_then(Arc::get_mut) else { return };
        let size = self.head_size * PAGE;
        let own = layer * self.kv_heads;
        let heads = keys.chunks_exact(self.head_size).zip(values.chunks_exact(self.head_size));
        let places = page.chunks_exact_mut(size * 2).skip(own).take(self.kv_heads);
        for (place, (key, value)) in places.zip(heads) {
            let (columns, rows) = place.split_at_mut(size);
            for (place, number) in columns.iter_mut().skip(at).step_by(PAGE).zip(key) {
                *place = f16::from_f32(*number);
            }
            for (place, number) in rows.iter_mut().skip(at * self.head_size).zip(value) {
                *place = f16::from_f32(*number);
            }
        }
    }

    /// The keys and values of one head in one page: the keys as columns (a row for each number, a
    /// column for each token), the values as rows (a row for each token).
    pub(super) fn page(&self, layer: usize, head: usize, page: usize) -> (&[f16], &[f16]) {
        let size = self.head_size * PAGE;
        let at = (layer * self.kv_heads + head) * size * 2;
        let both = self.pages.get(page).and_then(|page| page.get(at..at + size * 2));
        both.unwrap_or_default().split_at_checked(size).unwrap_or_default()
    }
}
