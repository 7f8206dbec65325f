//! Cutting a long prompt into sequences a text encoder takes, and finding fragments again in them.

use super::super::Tokenizer;

/// Token sequences of equal length, one after another, with a weight for each token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunks {
    /// Length of one sequence, begin and end included.
    pub(super) length: usize,
    /// All sequences' tokens.
    pub(super) ids: Vec<u32>,
    /// A weight for each token; 1 for begin, end and padding.
    pub(super) weights: Vec<f32>,
}

impl Chunks {
    /// Cuts `ids` into sequences, each with begin, end and padding. At least one comes out.
    pub(super) fn new(ids: &[u32], weights: &[f32], tokenizer: &Tokenizer) -> Self {
        let length = tokenizer.max_length;
        let room = length - 2;
        let mut out = Self {
            length,
            ids: Vec::new(),
            weights: Vec::new(),
        };
        let (mut ids, mut weights) = (ids, weights);
        loop {
            let cut = break_point(ids, room, |id| tokenizer.text_of(id)).min(ids.len());
            out.ids.push(tokenizer.bos);
            out.ids.extend(&ids[..cut]);
            out.ids.push(tokenizer.eos);
            out.weights.push(1.0);
            out.weights.extend(&weights[..cut]);
            (ids, weights) = (&ids[cut..], &weights[cut..]);
            let total = out.ids.len().next_multiple_of(length);
            out.ids.resize(total, tokenizer.pad);
            out.weights.resize(total, 1.0);
            if ids.is_empty() {
                return out;
            }
        }
    }

    /// Which tokens may be seen when those from `start` to `end` are hidden. Both ends of every sequence always may.
    pub(super) fn without(&self, start: usize, end: usize) -> Vec<bool> {
        let last = self.length - 1;
        (0..self.ids.len())
            .map(|i| !(start..=end).contains(&i) || i % self.length == 0 || i % self.length == last)
            .collect()
    }

    /// Where the fragments' tokens lie, first and last, in the order of the fragments; `None` for one without tokens. Between a
    /// fragment's first and last token there may be the end of one sequence and the beginning of the next.
    pub(super) fn find(&self, fragments: &[Vec<u32>]) -> Vec<Option<(usize, usize)>> {
        let mut next = 0;
        fragments
            .iter()
            .map(|fragment| {
                let first = fragment.first()?;
                let start = next + self.ids[next.min(self.ids.len())..].iter().position(|id| id == first)?;
                let mut at = start;
                for id in fragment {
                    at += self.ids[at.min(self.ids.len())..].iter().position(|found| found == id)? + 1;
                }
                next = at;
                Some((start, at - 1))
            })
            .collect()
    }
}

/// How many of `ids` go into a sequence with room for `room`: up to the last end of a sentence, else of a phrase, else of a word.
fn break_point(ids: &[u32], room: usize, text: impl Fn(u32) -> Option<String>) -> usize {
    if ids.len() <= room {
        return room;
    }
    let texts: Vec<String> = ids[..room].iter().map(|id| text(*id).unwrap_or_default()).collect();
    let last = |wanted: &dyn Fn(&str) -> bool| texts.iter().rposition(|t| wanted(t)).map(|i| i + 1);
    last(&|t| t == ".</w>")
        .or_else(|| last(&|t| matches!(t, ".</w>" | ",</w>" | ";</w>" | ":</w>")))
        .or_else(|| last(&|t| t.ends_with("</w>")))
        .unwrap_or(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(words: &[&str], room: usize) -> usize {
        let ids: Vec<u32> = (0..words.len() as u32).collect();
        break_point(&ids, room, |id| Some(words[id as usize].to_owned()))
    }

    #[test]
    fn breaks_after_sentences_then_phrases_then_words() {
        assert_eq!(point(&["a</w>", ".</w>", "b</w>", ",</w>", "c"], 4), 2);
        assert_eq!(point(&["a</w>", ",</w>", "b</w>", "c", "d"], 4), 2);
        assert_eq!(point(&["a</w>", "b</w>", "c", "d", "e</w>"], 4), 2);
        assert_eq!(point(&["a", "b", "c", "d", "e</w>"], 4), 4);
        assert_eq!(point(&["a</w>", ".</w>", "b</w>"], 4), 4);
    }

    #[test]
    fn a_fragment_across_sequences_is_found_whole() {
        let chunks = Chunks {
            length: 5,
            ids: vec![90, 1, 2, 91, 91, 90, 3, 4, 91, 91],
            weights: vec![1.0; 10],
        };
        let found = chunks.find(&[vec![1], vec![], vec![2, 3], vec![4]]);
        assert_eq!(found, [Some((1, 1)), None, Some((2, 6)), Some((7, 7))]);
        assert_eq!(
            chunks.without(2, 6),
            [true, true, false, false, true, true, false, true, true, true]
        );
    }
}
