//! Where every choice of the generator comes from: a seeded sequence, or the bytes of a fuzzer.
//!
//! The same seed or bytes give the same choices on every machine and in every release of the toolchain.

/// A source of choices.
#[derive(Debug, Clone)]
pub(crate) struct Choices {
    state: u64,
    bytes: Option<(Vec<u8>, usize)>,
}

impl Choices {
    /// From a seed, without end.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635, bytes: None }
    }

    /// From bytes. Once they are used up every choice is the first one.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self { state: 0, bytes: Some((bytes.to_vec(), 0)) }
    }

    /// 64 bits (splitmix64, Vigna).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn byte(&mut self) -> Option<u64> {
        let (bytes, at) = self.bytes.as_mut()?;
        let byte = bytes.get(*at).copied().unwrap_or(0);
        *at += 1;
        Some(u64::from(byte))
    }

    /// A number below `n`; 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        if n < 2 {
            return 0;
        }
        let drawn = match self.byte() {
            None => self.next(),
            Some(first) if n <= 256 => first,
            Some(first) => first << 8 | self.byte().unwrap_or(0),
        };
        (drawn % n as u64) as usize
    }

    /// Whether something that happens in `percent` of all cases happens.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        // the first choice is the plain one
        self.below(100) >= 100 - percent.min(100)
    }

    /// One of `all`, which must not be empty.
    pub(crate) fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }

    /// One of `all`, if there is any.
    pub(crate) fn any<'t, T>(&mut self, all: &'t [T]) -> Option<&'t T> {
        if all.is_empty() { None } else { Some(self.pick(all)) }
    }

    /// The position of a weight, drawn as often as the weight says.
    pub(crate) fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut drawn = self.below(weights.iter().sum());
        for (i, weight) in weights.iter().enumerate() {
            if drawn < *weight {
                return i;
            }
            drawn -= weight;
        }
        0
    }
}
