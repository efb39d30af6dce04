//! Made-up numbers and vectors that are the same in every run.

/// How far a vector strays from its topic; real passages of one topic have cosines of about 0.5.
const STRAY: f32 = 1.0;

/// Numbers that are the same in every run.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number, all bits of it.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() >> 33).unwrap_or_default() % end.max(1)
    }

    /// About normal, as the sum of twelve even ones.
    pub fn normal(&mut self) -> f32 {
        let even = |n: u64| f32::from(u16::try_from(n & 0xffff).unwrap_or_default()) / 65_536.0;
        (0..3)
            .map(|_| self.roll())
            .flat_map(|n| [n, n >> 16, n >> 32, n >> 48])
            .map(even)
            .sum::<f32>()
            - 6.0
    }

    /// A vector of normal numbers.
    pub fn vector(&mut self, dimension: usize) -> Vec<f32> {
        (0..dimension).map(|_| self.normal()).collect()
    }

    /// A unit vector near one of `centres`, whose numbers are about one each.
    pub fn near(&mut self, centres: &[Vec<f32>]) -> Vec<f32> {
        let centre = centres.get(self.below(centres.len())).map_or(&[][..], Vec::as_slice);
        let vector = centre.iter().map(|c| c + STRAY * self.normal()).collect();
        unit(vector)
    }
}

/// The same direction at length one.
pub fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|v| *v /= length);
    vector
}

/// The ids of the ten vectors nearest to `question`, by exact products.
pub fn nearest(all: &[Vec<f32>], question: &[f32]) -> Vec<usize> {
    let mut scored: Vec<(f32, usize)> = all
        .iter()
        .enumerate()
        .map(|(id, v)| (v.iter().zip(question).map(|(a, b)| a * b).sum::<f32>(), id))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(10).map(|(_, id)| id).collect()
}
