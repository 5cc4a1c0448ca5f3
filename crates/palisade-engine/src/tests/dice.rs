//! Numbers that look drawn and are the same in every run, so that what fails once fails again.

/// Dice, by the number that they begin with.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// One of so many numbers, from 0 on.
    pub(crate) fn draw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// The same of places in a list.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.draw(sides as u64) as usize
    }
}
