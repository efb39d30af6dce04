//! The network of all families that are computed here: layers of attention and feed-forward steps,
//! each normalised before it begins, over the tokens of several texts at once.

use super::attention::{Look, Query};
use super::cache::Cache;
use super::crew;
use super::inner::{Inner, Inside};
use super::matrix::{Input, Matrix, multiply};
use super::rotary::Rotary;
use super::shape::Shape;
use super::source::Source;
use super::steps::{add, capped, norm, norm_here};
use crate::base::fault::Fault;

/// Queries that are answered together from one reading of a page.
const TOGETHER: usize = 8;

/// The weights of a network.
pub(super) struct Decoder {
    tokens: Matrix,
    /// None where the table of tokens also is the way out.
    output: Option<Matrix>,
    output_norm: Vec<f32>,
    layers: Vec<Layer>,
    /// The turning of layers that see everything, and of those that don't where it is another.
    turnings: Vec<Rotary>,
}

struct Layer {
    norm: Vec<f32>,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    biases: Biases,
    query_norm: Option<Vec<f32>>,
    key_norm: Option<Vec<f32>>,
    exit: Matrix,
    exit_bias: Option<Vec<f32>>,
    after: Option<Vec<f32>>,
    inner_norm: Vec<f32>,
    inner: Inner,
    inner_after: Option<Vec<f32>>,
    turning: usize,
    window: Option<usize>,
}

#[derive(Default)]
struct Biases {
    query: Option<Vec<f32>>,
    key: Option<Vec<f32>>,
    value: Option<Vec<f32>>,
}

/// A run of tokens of one text within a pass.
pub(super) struct Run<'a> {
    pub(super) tokens: &'a [u32],
    pub(super) cache: &'a mut Cache,
    /// Whether the logits behind its last token are asked for.
    pub(super) logits: bool,
}

impl Decoder {
    pub(super) fn load(
        source: &mut Source<'_>,
        shape: &Shape,
        context: usize,
    ) -> Result<Self, Fault> {
        let mut turnings = vec![Rotary::of(source, shape, context)?];
        if let Some(window) = shape.window.filter(|window| window.own_turning) {
            turnings.push(Rotary::plain(shape, f64::from(window.base))?);
        }
        let Shape { width, vocabulary, .. } = *shape;
        let tokens = source.matrix("token_embd.weight", vocabulary, width)?;
        let output = source.has("output.weight").then_some("output.weight");
        Ok(Self {
            tokens: Matrix::of(tokens)?,
            output: output
                .map(|name| Matrix::of(source.matrix(name, vocabulary, width)?))
                .transpose()?,
            output_norm: source.vector("output_norm.weight", width)?,
            layers: (0..shape.layers)
                .map(|layer| Layer::load(source, shape, layer))
                .collect::<Result<_, _>>()?,
            turnings,
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(Layer::bytes).sum();
        layers + self.tokens.bytes() + self.output.as_ref().map_or(0, Matrix::bytes)
    }

    /// Takes the runs' tokens through the network; the logits of the runs that ask for them, in order.
    pub(super) fn pass(&self, shape: &Shape, runs: &mut [Run<'_>]) -> Result<Vec<Vec<f32>>, Fault> {
        let places = places(runs);
        let rows = places.len();
        let mut x = vec![0.0; rows * shape.width];
        self.look_up(shape, runs, &mut x)?;
        for run in runs.iter_mut() {
            run.cache.reserve(run.tokens.len());
        }
        let tables = self.tables(&places);
        let mut room = Room::new(shape, rows);
        for (number, layer) in self.layers.iter().enumerate() {
            let table = tables.get(layer.turning).map_or(&[][..], Vec::as_slice);
            let turning = self.turnings.get(layer.turning).or(self.turnings.first());
            let Some(turning) = turning else { break };
            norm(&mut room.normed, &x, &layer.norm, shape.epsilon);
            layer.enter(shape, &mut room)?;
            layer.ready(shape, turning, table, &mut room);
            Layer::remember(shape, number, runs, &room);
            layer.attend(shape, number, runs, &places, &mut room);
            layer.leave(shape, &mut room, &mut x)?;
            norm(&mut room.normed, &x, &layer.inner_norm, shape.epsilon);
            layer.feed(shape, &mut room, &mut x)?;
        }
        for run in runs.iter_mut() {
            run.cache.grow(run.tokens.len());
        }
        self.logits(shape, runs, &x)
    }

    fn look_up(&self, shape: &Shape, runs: &[Run<'_>], x: &mut [f32]) -> Result<(), Fault> {
        let tokens = runs.iter().flat_map(|run| run.tokens);
        for (row, token) in x.chunks_exact_mut(shape.width).zip(tokens) {
            self.tokens.row(*token, row)?;
            if (shape.embedding_scale - 1.0).abs() > f32::EPSILON {
                for number in row.iter_mut() {
                    *number *= shape.embedding_scale;
                }
            }
        }
        Ok(())
    }

    /// For each turning, a row for each place.
    fn tables(&self, places: &[Place]) -> Vec<Vec<f32>> {
        let table = |turning: &Rotary| {
            let mut table = vec![0.0; places.len() * turning.row()];
            for (row, place) in table.chunks_exact_mut(turning.row().max(1)).zip(places) {
                turning.write(place.position, row);
            }
            table
        };
        self.turnings.iter().map(table).collect()
    }

    fn logits(&self, shape: &Shape, runs: &[Run<'_>], x: &[f32]) -> Result<Vec<Vec<f32>>, Fault> {
        let mut last = Vec::new();
        let mut end = 0;
        for run in runs {
            end += run.tokens.len();
            if run.logits && !run.tokens.is_empty() {
                last.extend(x.get((end - 1) * shape.width..end * shape.width).unwrap_or_default());
            }
        }
        let rows = last.len() / shape.width.max(1);
        if rows == 0 {
            return Ok(Vec::new());
        }
        norm_here(&mut last, &self.output_norm, shape.epsilon);
        let output = self.output.as_ref().unwrap_or(&self.tokens);
        let mut logits = vec![0.0; rows * output.rows()];
        multiply(
            &Input { rows, columns: shape.width, floats: &last },
            &mut [(output, logits.as_mut_slice())],
        )?;
        if let Some(cap) = shape.output_cap {
            capped(&mut logits, cap);
        }
        Ok(logits.chunks_exact(output.rows().max(1)).map(<[f32]>::to_vec).collect())
    }
}

/// Where one row of a pass stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    run: usize,
    position: usize,
}

fn places(runs: &[Run<'_>]) -> Vec<Place> {
    let mut places = Vec::new();
    for (run, one) in runs.iter().enumerate() {
        let first = one.cache.len();
        places.extend((0..one.tokens.len()).map(|at| Place { run, position: first + at }));
    }
    places
}

/// The numbers of a pass between its steps.
struct Room {
    rows: usize,
    normed: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    added: Vec<f32>,
    inside: Inside,
}

impl Room {
    fn new(shape: &Shape, rows: usize) -> Self {
        let room = |size: usize| vec![0.0; rows * size];
        let (asked, told) = (shape.heads * shape.head_size, shape.kv_heads * shape.head_size);
        Self {
            rows,
            normed: room(shape.width),
            query: room(asked),
            key: room(told),
            value: room(told),
            added: room(shape.width),
            inside: Inside::default(),
        }
    }
}

impl Layer {
    fn load(source: &mut Source<'_>, shape: &Shape, layer: usize) -> Result<Self, Fault> {
        let name = |own: &str| format!("blk.{layer}.{own}");
        let Shape { width, head_size, .. } = *shape;
        let (asked, told) = (shape.heads * head_size, shape.kv_heads * head_size);
        let [query, key, value] = entries(source, &name, width, asked, told)?;
        let norm_if = |source: &mut Source<'_>, there: bool, own: &str, size: usize| {
            there.then(|| source.vector(&name(own), size)).transpose()
        };
        Ok(Self {
            norm: source.vector(&name("attn_norm.weight"), width)?,
            query,
            key,
            value,
            biases: Biases::load(source, &name, asked, told)?,
            query_norm: norm_if(source, shape.norms_heads, "attn_q_norm.weight", head_size)?,
            key_norm: norm_if(source, shape.norms_heads, "attn_k_norm.weight", head_size)?,
            exit: Matrix::of(source.matrix(&name("attn_output.weight"), width, asked)?)?,
            exit_bias: source.vector_if(&name("attn_output.bias"), width)?,
            after: norm_if(source, shape.norms_after, "post_attention_norm.weight", width)?,
            inner_norm: source.vector(&name("ffn_norm.weight"), width)?,
            inner: Inner::load(source, &name, shape)?,
            inner_after: norm_if(source, shape.norms_after, "post_ffw_norm.weight", width)?,
            turning: usize::from(
                shape.is_local(layer) && shape.window.is_some_and(|window| window.own_turning),
            ),
            window: shape.window.filter(|_| shape.is_local(layer)).map(|window| window.tokens),
        })
    }

    fn bytes(&self) -> u64 {
        let matrices = [&self.query, &self.key, &self.value, &self.exit];
        matrices.into_iter().map(Matrix::bytes).sum::<u64>() + self.inner.bytes()
    }

    /// Makes queries, keys and values.
    fn enter(&self, shape: &Shape, room: &mut Room) -> Result<(), Fault> {
        let input = Input { rows: room.rows, columns: shape.width, floats: &room.normed };
        multiply(
            &input,
            &mut [
                (&self.query, &mut room.query),
                (&self.key, &mut room.key),
                (&self.value, &mut room.value),
            ],
        )
    }

    /// Biases, norms and turns queries and keys, and biases values.
    fn ready(&self, shape: &Shape, turning: &Rotary, table: &[f32], room: &mut Room) {
        let Biases { query, key, value } = &self.biases;
        let size = shape.head_size;
        let ready = |rows: &mut [f32], heads: usize, bias: &Option<Vec<f32>>, weight| {
            crew::rows(rows, heads * size, |first, rows| {
                let angles = table.chunks_exact(turning.row().max(1)).skip(first);
                for (row, angles) in rows.chunks_exact_mut(heads * size).zip(angles) {
                    if let Some(bias) = bias {
                        add(row, bias);
                    }
                    if let Some(weight) = weight {
                        norm_here(row, weight, shape.epsilon);
                    }
                    for head in row.chunks_exact_mut(size) {
                        turning.turn(head, angles);
                    }
                }
            });
        };
        ready(&mut room.query, shape.heads, query, self.query_norm.as_deref());
        ready(&mut room.key, shape.kv_heads, key, self.key_norm.as_deref());
        if let Some(bias) = value {
            for row in room.value.chunks_exact_mut(bias.len().max(1)) {
                add(row, bias);
            }
        }
    }

    /// Puts keys and values into the texts' memories.
    fn remember(shape: &Shape, layer: usize, runs: &mut [Run<'_>], room: &Room) {
        let size = shape.kv_heads * shape.head_size;
        let mut rows = room.key.chunks_exact(size).zip(room.value.chunks_exact(size));
        for run in runs {
            let first = run.cache.len();
            for (at, (keys, values)) in rows.by_ref().take(run.tokens.len()).enumerate() {
                run.cache.put(layer, first + at, keys, values);
            }
        }
    }

    /// Lets each query take what it may see, in the query's place.
    fn attend(
        &self,
        shape: &Shape,
        layer: usize,
        runs: &[Run<'_>],
        places: &[Place],
        room: &mut Room,
    ) {
        let size = shape.head_size;
        let group = shape.heads / shape.kv_heads;
        let mut jobs: Vec<(usize, usize, Vec<Query<'_>>)> = Vec::new();
        let together = (TOGETHER / group).max(1);
        let mut rows = room.query.chunks_exact_mut(shape.heads * size).zip(places).peekable();
        while let Some((_, first)) = rows.peek().map(|(row, place)| (row.len(), **place)) {
            let start = jobs.len();
            jobs.extend((0..shape.kv_heads).map(|head| (first.run, head, Vec::new())));
            let mut taken = 0;
            while let Some((row, place)) =
                rows.next_if(|(_, place)| place.run == first.run && taken < together)
            {
                taken += 1;
                let heads = row.chunks_exact_mut(group * size);
                for (heads, job) in heads.zip(jobs.iter_mut().skip(start)) {
                    let queries = heads.chunks_exact_mut(size);
                    job.2.extend(queries.map(|head| Query { head, position: place.position }));
                }
            }
        }
        crew::each(jobs, |(run, head, mut queries)| {
            let Some(run) = runs.get(run) else { return };
            let look = Look {
                cache: run.cache,
                layer,
                head_size: size,
                scale: shape.attention_scale,
                cap: shape.attention_cap,
                window: self.window,
            };
            look.answer(head, &mut queries);
        });
    }

    /// Adds what attention took to the rows.
    fn leave(&self, shape: &Shape, room: &mut Room, x: &mut [f32]) -> Result<(), Fault> {
        let columns = shape.heads * shape.head_size;
        let input = Input { rows: room.rows, columns, floats: &room.query };
        multiply(&input, &mut [(&self.exit, &mut room.added)])?;
        if let Some(bias) = &self.exit_bias {
            for row in room.added.chunks_exact_mut(bias.len().max(1)) {
                add(row, bias);
            }
        }
        if let Some(weight) = &self.after {
            norm_here(&mut room.added, weight, shape.epsilon);
        }
        add(x, &room.added);
        Ok(())
    }

    /// Adds what the feed-forward step makes of the rows.
    fn feed(&self, shape: &Shape, room: &mut Room, x: &mut [f32]) -> Result<(), Fault> {
        self.inner.feed(shape, &room.normed, &mut room.inside, &mut room.added)?;
        if let Some(weight) = &self.inner_after {
            norm_here(&mut room.added, weight, shape.epsilon);
        }
        add(x, &room.added);
        Ok(())
    }
}

impl Biases {
    fn load(
        source: &mut Source<'_>,
        name: &impl Fn(&str) -> String,
        asked: usize,
        told: usize,
    ) -> Result<Self, Fault> {
        if let Some(joined) = source.vector_if(&name("attn_qkv.bias"), asked + 2 * told)? {
            let (query, rest) = joined.split_at_checked(asked).unwrap_or_default();
            let (key, value) = rest.split_at_checked(told).unwrap_or_default();
            let own = |part: &[f32]| Some(part.to_vec());
            return Ok(Self { query: own(query), key: own(key), value: own(value) });
        }
        Ok(Self {
            query: source.vector_if(&name("attn_q.bias"), asked)?,
            key: source.vector_if(&name("attn_k.bias"), told)?,
            value: source.vector_if(&name("attn_v.bias"), told)?,
        })
    }
}

/// The matrices that make queries, keys and values, which some files keep as one.
fn entries(
    source: &mut Source<'_>,
    name: &impl Fn(&str) -> String,
    width: usize,
    asked: usize,
    told: usize,
) -> Result<[Matrix; 3], Fault> {
    let joined = name("attn_qkv.weight");
    let [query, key, value] = if source.has(&joined) {
        let joined = source.matrix(&joined, asked + 2 * told, width)?;
        let (query, rest) = joined.split(asked)?;
        let (key, value) = rest.split(told)?;
        [query, key, value]
    } else {
        [
            source.matrix(&name("attn_q.weight"), asked, width)?,
            source.matrix(&name("attn_k.weight"), told, width)?,
            source.matrix(&name("attn_v.weight"), told, width)?,
        ]
    };
    Ok([Matrix::of(query)?, Matrix::of(key)?, Matrix::of(value)?])
}
