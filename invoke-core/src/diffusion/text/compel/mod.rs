//! Prompts with weights, as InvokeAI's users write them: parsing, and turning them into embeddings.

mod chunks;
mod encode;
mod syntax;

pub use encode::{Encoder, encode, encode_pooled, encode_prompt};

/// A run of text and how strongly it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment {
    /// The words, as they go to the tokenizer.
    pub text: String,
    /// 1 is neutral, 0 is as good as absent.
    pub weight: f64,
}

/// Whether a weight leaves things as they are.
#[expect(clippy::float_cmp, reason = "only exactly 1 is neutral")]
fn is_neutral(weight: f64) -> bool {
    weight == 1.0
}

/// One member of a conjunction.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text of varying weight.
    Text(Vec<Fragment>),
    /// A weighted sum of several texts' embeddings.
    Blend {
        /// The texts.
        prompts: Vec<Vec<Fragment>>,
        /// One weight a text.
        weights: Vec<f64>,
        /// Whether the weights are divided by their total.
        normalize: bool,
    },
}

/// A parsed prompt: parts whose embeddings are put one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The parts; one, unless the prompt is a conjunction.
    pub parts: Vec<Part>,
    /// One weight a part: how far it lies from the empty prompt.
    pub weights: Vec<f64>,
}

impl Prompt {
    /// Parses a prompt.
    pub fn parse(prompt: &str) -> Result<Self, PromptError> {
        syntax::parse(prompt)
    }

    /// The prompt without words.
    pub fn empty() -> Self {
        Self {
            parts: vec![Part::Text(vec![Fragment {
                text: String::new(),
                weight: 1.0,
            }])],
            weights: vec![1.0],
        }
    }
}

/// A prompt whose syntax contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// A blend or conjunction has another number of weights than parts.
    #[error("prompt: `.{operator}()` has {parts} parts and {weights} weights; give one weight for each part, or none")]
    Weights {
        /// `blend` or `and`.
        operator: &'static str,
        /// Number of parts that are not empty.
        parts: usize,
        /// Number of weights.
        weights: usize,
    },
    /// A weight is not a number.
    #[error("prompt: `{0}` was given where a weight was expected")]
    Number(String),
    /// `.swap()` inside `.blend()`.
    #[error("prompt: `.swap()` cannot be part of a `.blend()`")]
    SwapInBlend,
    /// Text after a blend.
    #[error("prompt: nothing may follow a `.blend()`, but `{0}` does")]
    Trailing(String),
}

#[cfg(test)]
mod tests;
