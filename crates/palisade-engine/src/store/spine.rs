//! A vector in two levels whose copies share what neither changed.

use std::sync::Arc;

const CHUNK_BITS: usize = 8;
const CHUNK: usize = 1 << CHUNK_BITS;

/// A persistent vector: cloning it is one pointer, changing an element copies one chunk and the top level.
#[derive(Debug, Clone)]
pub(crate) struct Spine<T> {
    chunks: Arc<[Arc<[T]>]>,
    len: usize,
}

impl<T> Default for Spine<T> {
    fn default() -> Self {
        Self { chunks: Arc::new([]), len: 0 }
    }
}

impl<T: Clone> Spine<T> {
    /// The elements of `values`.
    pub(crate) fn from_slice(values: &[T]) -> Self {
        let len = values.len();
        let chunks = values.chunks(CHUNK).map(Arc::from).collect();
        Self { chunks, len }
    }

    /// The element at `i`.
    #[inline]
    pub(crate) fn get(&self, i: usize) -> Option<&T> {
        self.chunks.get(i >> CHUNK_BITS)?.get(i & (CHUNK - 1))
    }

    /// The element at `i`, to be changed in this copy alone.
    pub(crate) fn get_mut(&mut self, i: usize) -> Option<&mut T> {
        let chunk = Arc::make_mut(&mut self.chunks).get_mut(i >> CHUNK_BITS)?;
        Arc::make_mut(chunk).get_mut(i & (CHUNK - 1))
    }

    /// Adds elements at the end.
    pub(crate) fn extend(&mut self, values: Vec<T>) {
        if values.is_empty() {
            return;
        }
        let whole = self.len >> CHUNK_BITS;
        let mut tail: Vec<T> = self.chunks.get(whole).map(|chunk| chunk.to_vec()).unwrap_or_default();
        self.len += values.len();
        tail.extend(values);
        self.chunks = self.chunks.iter().take(whole).cloned().chain(tail.chunks(CHUNK).map(Arc::from)).collect();
    }

    /// How many elements.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All elements in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_and_do_not_disturb() {
        let mut spine = Spine::default();
        spine.extend((0..300).collect());
        spine.extend((300..1_000).collect());
        let before = spine.clone();
        *spine.get_mut(777).unwrap() = 0;
        assert_eq!((before.get(777), spine.get(777), spine.get(1_000)), (Some(&777), Some(&0), None));
        assert!(before.iter().copied().eq(0..1_000));
        assert!(Arc::ptr_eq(&before.chunks[0], &spine.chunks[0]));
    }
}
