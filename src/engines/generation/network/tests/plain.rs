//! A network written down as plainly as can be, in 64-bit numbers and without any memory, to compare
//! those families with whose rivals at hand compute something else.

use super::forge::{EXPERTS, Forge, HEADS, INNER, KV_HEADS, LAYERS, VOCABULARY, WIDTH};

type Row = Vec<f64>;

struct Plain<'a> {
    forge: &'a Forge,
    size: usize,
}

/// The logits behind the last of some tokens.
pub(super) fn logits(forge: &Forge, tokens: &[u32]) -> Vec<f64> {
    let plain = Plain { forge, size: forge.head_size };
    let scale = if plain.is_gemma() { (WIDTH as f64).sqrt() } else { 1.0 };
    let table = plain.get("token_embd.weight");
    let mut rows: Vec<Row> = tokens
        .iter()
        .map(|token| {
            let at = *token as usize * WIDTH;
            table[at..at + WIDTH].iter().map(|number| number * scale).collect()
        })
        .collect();
    for layer in 0..LAYERS {
        plain.layer(layer, &mut rows);
    }
    let last = norm(rows.last().unwrap(), &plain.get("output_norm.weight"));
    let logits = times(&table, VOCABULARY, &last);
    match forge.family {
        "gemma2" => logits.into_iter().map(|x| 5.0 * (x / 5.0).tanh()).collect(),
        _ => logits,
    }
}

fn times(matrix: &[f64], rows: usize, x: &[f64]) -> Row {
    let columns = matrix.len() / rows;
    assert_eq!(columns, x.len());
    let product = |row: &[f64]| row.iter().zip(x).map(|(a, b)| a * b).sum();
    matrix.chunks(columns).map(product).collect()
}

fn norm(x: &[f64], weight: &[f64]) -> Row {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).map(|(x, w)| x / (mean + 1e-5).sqrt() * w).collect()
}

impl Plain<'_> {
    fn is_gemma(&self) -> bool {
        self.forge.family.starts_with("gemma")
    }

    fn get(&self, name: &str) -> Row {
        self.forge.numbers[name].iter().map(|number| f64::from(*number)).collect()
    }

    fn find(&self, name: &str) -> Option<Row> {
        self.forge.numbers.contains_key(name).then(|| self.get(name))
    }

    fn layer(&self, layer: usize, rows: &mut [Row]) {
        let name = |own: &str| format!("blk.{layer}.{own}.weight");
        let normed: Vec<Row> =
            rows.iter().map(|row| norm(row, &self.get(&name("attn_norm")))).collect();
        let heads = |own: &str, heads: usize, norms: &str, turn: bool| -> Vec<Vec<Row>> {
            let matrix = self.get(&name(own));
            let weight = self.find(&name(norms));
            let head = |position: usize, head: &[f64]| {
                let head = weight.as_ref().map_or(head.to_vec(), |weight| norm(head, weight));
                if turn { self.turn(layer, position, &head) } else { head }
            };
            let row = |(position, row): (usize, &Row)| {
                let all = times(&matrix, heads * self.size, row);
                all.chunks(self.size).map(|one| head(position, one)).collect()
            };
            normed.iter().enumerate().map(row).collect()
        };
        let queries = heads("attn_q", HEADS, "attn_q_norm", true);
        let keys = heads("attn_k", KV_HEADS, "attn_k_norm", true);
        let values = heads("attn_v", KV_HEADS, "none", false);
        let exit = self.get(&name("attn_output"));
        let seen: Vec<Row> = (0..rows.len())
            .map(|at| {
                let taken: Row = (0..HEADS)
                    .flat_map(|head| self.take(layer, at, head, &queries, &keys, &values))
                    .collect();
                times(&exit, WIDTH, &taken)
            })
            .collect();
        for (row, seen) in rows.iter_mut().zip(seen) {
            let after = self.find(&name("post_attention_norm"));
            let seen = after.map_or(seen.clone(), |weight| norm(&seen, &weight));
            row.iter_mut().zip(seen).for_each(|(x, more)| *x += more);
            let normed = norm(row, &self.get(&name("ffn_norm")));
            let fed = self.feed(layer, &normed);
            let after = self.find(&name("post_ffw_norm"));
            let fed = after.map_or(fed.clone(), |weight| norm(&fed, &weight));
            row.iter_mut().zip(fed).for_each(|(x, more)| *x += more);
        }
    }

    fn is_local(&self, layer: usize) -> bool {
        match self.forge.family {
            "gemma2" => !(layer + 1).is_multiple_of(2),
            "gemma3" => !(layer + 1).is_multiple_of(6),
            _ => false,
        }
    }

    /// Pairs across the halves of a head.
    fn turn(&self, layer: usize, position: usize, head: &[f64]) -> Row {
        let (base, stretch) = match self.forge.family {
            "gemma3" if !self.is_local(layer) => (1e6, 8.0),
            _ => (1e4, 1.0),
        };
        let half = self.size / 2;
        let mut turned = head.to_vec();
        for pair in 0..half {
            let pace = f64::powf(base, -2.0 * pair as f64 / self.size as f64) / stretch;
            let (sine, cosine) = (position as f64 * pace).sin_cos();
            let (a, b) = (head[pair], head[pair + half]);
            turned[pair] = a * cosine - b * sine;
            turned[pair + half] = a * sine + b * cosine;
        }
        turned
    }

    fn take(
        &self,
        layer: usize,
        at: usize,
        head: usize,
        queries: &[Vec<Row>],
        keys: &[Vec<Row>],
        values: &[Vec<Row>],
    ) -> Row {
        let own = head / (HEADS / KV_HEADS);
        let first = if self.is_local(layer) { (at + 1).saturating_sub(7) } else { 0 };
        let score = |place: usize| {
            let key = &keys[place][own];
            let product: f64 = queries[at][head].iter().zip(key).map(|(a, b)| a * b).sum();
            let score = product / (self.size as f64).sqrt();
            let capped = self.forge.family == "gemma2";
            (if capped { 3.0 * (score / 3.0).tanh() } else { score }).exp()
        };
        let scores: Vec<f64> = (first..=at).map(score).collect();
        let all: f64 = scores.iter().sum();
        let mut taken = vec![0.0; self.size];
        for (score, value) in scores.iter().zip(&values[first..]) {
            for (taken, number) in taken.iter_mut().zip(&value[own]) {
                *taken += score / all * number;
            }
        }
        taken
    }

    fn feed(&self, layer: usize, x: &[f64]) -> Row {
        let name = |own: &str| format!("blk.{layer}.{own}.weight");
        if self.forge.family != "qwen3moe" {
            let parts = ["ffn_gate", "ffn_up", "ffn_down"].map(|own| self.get(&name(own)));
            return self.expert(x, &parts[0], &parts[1], &parts[2]);
        }
        let scores = times(&self.get(&name("ffn_gate_inp")), EXPERTS.0, x);
        let all: f64 = scores.iter().map(|score| score.exp()).sum();
        let mut order: Vec<usize> = (0..EXPERTS.0).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let chosen = &order[..EXPERTS.1];
        let share = |expert: usize| scores[expert].exp() / all;
        let together: f64 = chosen.iter().map(|expert| share(*expert)).sum();
        let mut out = vec![0.0; WIDTH];
        for expert in chosen {
            let parts = ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"].map(|own| {
                let all = self.get(&name(own));
                let size = all.len() / EXPERTS.0;
                all[expert * size..(expert + 1) * size].to_vec()
            });
            let answer = self.expert(x, &parts[0], &parts[1], &parts[2]);
            for (out, number) in out.iter_mut().zip(answer) {
                *out += share(*expert) / together * number;
            }
        }
        out
    }

    fn expert(&self, x: &[f64], gate: &[f64], up: &[f64], down: &[f64]) -> Row {
        let gate = times(gate, INNER, x).into_iter().map(|g| {
            if self.is_gemma() {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (g + 0.044_715 * g * g * g);
                0.5 * g * (1.0 + inner.tanh())
            } else {
                g / (1.0 + (-g).exp())
            }
        });
        let wide: Row = gate.zip(times(up, INNER, x)).map(|(g, u)| g * u).collect();
        times(down, WIDTH, &wide)
    }
}
