//! A Brownian path that can be asked for its increment over any interval, in any order, and always answers the same
//! (torchsde's `BrownianInterval` with a halfway tree).
//!
//! The path over `[start, end]` is a binary tree: a node's increment is known, its halves follow by a Brownian bridge with noise
//! whose seed comes from the node's place in the tree. A query is the sum over the nodes that make up its interval.

use std::collections::HashMap;

use super::TorchGenerator;
use crate::numeric_rng::SeedSequence;

/// Words of the seed pool, as diffusers chooses it.
const POOL_SIZE: usize = 24;

/// Results kept: enough for the upper levels, which every query passes.
const CACHED_NODES: usize = 64;

/// A Brownian path with `len` independent components.
#[derive(Debug, Clone)]
pub struct BrownianTree {
    root: Node,
    seed: u64,
    len: usize,
    cache: HashMap<(u64, u32), Vec<f32>>,
}

/// An interval of the tree: its ends, and its place as depth and index within that depth.
#[derive(Debug, Clone, Copy)]
struct Node {
    start: f64,
    end: f64,
    index: u64,
    depth: u32,
}

impl Node {
    fn halves(self) -> (Self, Self) {
        let middle = quantise(0.5 * (self.end + self.start));
        let child = |start, end, side| Self {
            start,
            end,
            index: 2 * self.index + side,
            depth: self.depth + 1,
        };
        (child(self.start, middle, 0), child(middle, self.end, 1))
    }
}

impl BrownianTree {
    /// A path over `[start, end]` (either order) with `len` components.
    pub fn new(start: f64, end: f64, len: usize, seed: u64) -> Self {
        let (start, end) = if start <= end { (start, end) } else { (end, start) };
        let root = Node {
            start: quantise(start),
            end: quantise(end),
            index: 0,
            depth: 0,
        };
        let mut tree = Self {
            root,
            seed,
            len,
            cache: HashMap::new(),
        };
        let seeds = SeedSequence::spawned(seed, &[], POOL_SIZE).generate_state(1);
        // The length before quantisation scales the whole, as in torchsde.
        let scale = (end - start).sqrt() as f32;
        let whole = tree.randn(seeds[0]).into_iter().map(|x| x * scale).collect();
        tree.cache.insert((0, 0), whole);
        tree
    }

    /// The increment from `from` to `to`; the other way round it has the other sign. Times outside the path are moved to its ends.
    pub fn increment(&mut self, from: f64, to: f64) -> Vec<f32> {
        let (sign, low, high) = if from < to { (1.0, from, to) } else { (-1.0, to, from) };
        let low = quantise(low.clamp(self.root.start, self.root.end));
        let high = quantise(high.clamp(self.root.start, self.root.end));
        let mut total = vec![0.0; self.len];
        if low < high {
            let whole = self.cache[&(0, 0)].clone();
            let mut first = true;
            self.collect(self.root, &whole, low, high, &mut |part| {
                if first {
                    total.copy_from_slice(part);
                    first = false;
                } else {
                    total.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
                }
            });
        }
        for x in &mut total {
            *x *= sign;
        }
        total
    }

    /// Hands over the increments of the nodes that make up `low..high`, from left to right. `low..high` lies within the node.
    fn collect(&mut self, node: Node, value: &[f32], low: f64, high: f64, found: &mut dyn FnMut(&[f32])) {
        if low == node.start && high == node.end {
            found(value);
            return;
        }
        let (left, right) = node.halves();
        let left_value = self.left_half(node, left, value);
        if low < left.end {
            self.collect(left, &left_value, low, high.min(left.end), found);
        }
        if high > right.start {
            let right_value: Vec<f32> = value.iter().zip(&left_value).map(|(whole, left)| whole - left).collect();
            self.collect(right, &right_value, low.max(right.start), high, found);
        }
    }

    /// The Brownian bridge: the increment over the left half of a node whose own increment is known.
    fn left_half(&mut self, node: Node, left: Node, value: &[f32]) -> Vec<f32> {
        let key = (left.index, left.depth);
        if let Some(known) = self.cache.get(&key) {
            return known.clone();
        }
        let per_length = 1.0 / (node.end - node.start);
        let (before, after) = (left.end - node.start, node.end - left.end);
        let deviation = (before * after * per_length).sqrt() as f32;
        let path = [node.index, u64::from(node.depth)];
        let seeds = SeedSequence::spawned(self.seed, &path, POOL_SIZE).generate_state(1);
        let noise = self.randn(seeds[0]);
        let (before, per_length) = (before as f32, per_length as f32);
        let half: Vec<f32> = value
            .iter()
            .zip(noise)
            .map(|(whole, x)| before * whole * per_length + deviation * x)
            .collect();
        if self.cache.len() < CACHED_NODES {
            self.cache.insert(key, half.clone());
        }
        half
    }

    fn randn(&self, seed: u32) -> Vec<f32> {
        TorchGenerator::new(u64::from(seed)).randn(self.len)
    }
}

/// Rounds a time to six decimals, ties decided by the exact binary value (as Python's `round`).
fn quantise(time: f64) -> f64 {
    format!("{time:.6}").parse().expect("a formatted number parses")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increments_add_up_and_change_sign() {
        let mut tree = BrownianTree::new(0.03, 14.6, 32, 9);
        let whole = tree.increment(0.03, 14.6);
        let (a, b) = (tree.increment(0.03, 3.3), tree.increment(3.3, 14.6));
        for ((w, a), b) in whole.iter().zip(&a).zip(&b) {
            assert!((w - (a + b)).abs() < 1e-5);
        }
        let back = tree.increment(3.3, 0.03);
        assert!(back.iter().zip(&a).all(|(x, y)| *x == -*y));
    }

    #[test]
    fn variance_is_the_length() {
        let mut tree = BrownianTree::new(0.0, 8.0, 20_000, 1);
        let part = tree.increment(1.0, 3.5);
        let variance = part.iter().map(|x| x * x).sum::<f32>() / part.len() as f32;
        assert!((variance - 2.5).abs() < 0.1, "{variance}");
    }
}
