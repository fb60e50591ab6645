//! Values in numbered slots. Slots are allotted in chunks, so that growing moves nothing and wastes little.

/// How many slots a chunk has.
const CHUNK: usize = 256;

pub(super) struct Slots<T> {
    chunks: Vec<Box<[Option<T>]>>,
    free: Vec<u32>,
    used: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), used: 0 }
    }
}

impl<T> Slots<T> {
    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.entry(slot)?.as_mut()
    }

    fn entry(&mut self, slot: u32) -> Option<&mut Option<T>> {
        self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.used == self.chunks.len() * CHUNK {
                self.chunks.push((0..CHUNK).map(|_| None).collect());
            }
            self.used += 1;
            u32::try_from(self.used - 1).unwrap_or(u32::MAX)
        });
        if let Some(entry) = self.entry(slot) {
            *entry = Some(value);
        }
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.entry(slot)?.take()?;
        self.free.push(slot);
        Some(value)
    }
}
