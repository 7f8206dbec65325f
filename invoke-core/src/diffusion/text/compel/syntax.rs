//! The prompt language: text with weights, blends and conjunctions, parsed as compel 2 parses it.
//!
//! Grammar, with ordered choice and no backtracking into a choice once made:
//!
//! ```text
//! prompt       lora? (blend | piece*) lora? end   |   conjunction (what follows it is ignored)
//! blend        '(' target (',' target)* ')' '.blend' '(' options ')'
//! conjunction  '(' target (',' target)* ')' ('.and' | '.add') '(' options ')'
//! piece        swap | lora | weighted | quoted | parenthesised | run of anything but white space
//! part         lora | weighted | swap | parenthesised | quoted | word | ',' | '.'
//! weighted     target '.attend' '(' weight ')'  |  (quoted | parenthesised) weight  |  word ('+'… | '-'…)
//! swap         target '.swap' '(' part-without-comma* (',' options)? ')'
//! quoted       '"' … '"' whose inside is part*       parenthesised  '(' part* ')'
//! ```
//!
//! White space is skipped before every symbol, except between a target and its weight. What fits nothing is text.

use std::collections::HashMap;

use super::{Fragment, Part, Prompt, PromptError};

/// Weight of one `+`.
const PLUS: f64 = 1.1;
/// Weight of one `-`.
const MINUS: f64 = 0.9;
/// Parentheses nested deeper than this are text.
const MAX_DEPTH: usize = 64;
/// Characters with a meaning, which end a word.
const SYNTAX: &str = "()\",.+-=";

/// A piece of a prompt before its weights are multiplied out.
#[derive(Debug, Clone)]
enum Node {
    Text(String),
    Weighted(f64, Vec<Node>),
    /// `original.swap(edited)`: the original is what is encoded.
    Swap(Vec<Node>),
    /// A LoRA named in the prompt, which is dropped.
    Lora,
}

/// What a rule gives: its nodes and where it ended, or nothing if it does not fit.
type Match = Option<(Vec<Node>, usize)>;

/// Parses a prompt. Errors where compel refuses one: a blend or conjunction whose weights do not fit its parts, or text after a
/// blend.
pub(super) fn parse(prompt: &str) -> Result<Prompt, PromptError> {
    let prompt = space_after_commas(prompt);
    if prompt.iter().all(|c| c.is_whitespace()) {
        return Ok(Prompt::empty());
    }
    let mut parser = Parser::new(&prompt);
    if let Some((targets, options, _)) = parser.combination(0, &[".and", ".add"]) {
        return conjunction(targets, &options);
    }
    let mut pos = parser.loras(0);
    let parts = if let Some((targets, options, end)) = parser.combination(pos, &[".blend"]) {
        pos = end;
        vec![blend(targets, &options)?]
    } else {
        let (nodes, end) = parser.pieces(pos);
        pos = end;
        Vec::from_iter(flatten(&nodes).map(Part::Text))
    };
    pos = parser.loras(pos);
    if parser.skip(pos) != prompt.len() {
        let rest: String = prompt[parser.skip(pos)..].iter().take(40).collect();
        return Err(PromptError::Trailing(rest));
    }
    if parts.is_empty() {
        Ok(Prompt::empty())
    } else {
        Ok(Prompt {
            weights: vec![1.0; parts.len()],
            parts,
        })
    }
}

/// Puts a space after every comma that is followed by something else than white space.
fn space_after_commas(prompt: &str) -> Vec<char> {
    let mut out = Vec::with_capacity(prompt.len());
    let mut chars = prompt
        .chars()
        .map(|c| if matches!(c, '\t' | '\x0b' | '\x0c') { ' ' } else { c })
        .peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == ','
            && let Some(&next) = chars.peek()
            && !next.is_whitespace()
        {
            // The character after the comma is taken together with it: in ",,x" only the first comma gets its space.
            out.push(' ');
            out.push(next);
            chars.next();
        }
    }
    out
}

fn conjunction(targets: Vec<Vec<Node>>, options: &[String]) -> Result<Prompt, PromptError> {
    let weights = numbers(options)?;
    let weights = if weights.is_empty() { vec![1.0; targets.len()] } else { weights };
    if weights.len() != targets.len() {
        return Err(PromptError::Weights {
            operator: "and",
            parts: targets.len(),
            weights: weights.len(),
        });
    }
    let (mut parts, mut kept) = (Vec::new(), Vec::new());
    for (target, weight) in targets.iter().zip(weights) {
        if let Some(fragments) = flatten(target) {
            parts.push(Part::Text(fragments));
            kept.push(weight);
        }
    }
    if parts.is_empty() {
        Ok(Prompt::empty())
    } else {
        Ok(Prompt { parts, weights: kept })
    }
}

fn blend(targets: Vec<Vec<Node>>, options: &[String]) -> Result<Part, PromptError> {
    let (options, normalize) = match options.split_last() {
        Some((last, rest)) if last == "no_normalize" => (rest, false),
        _ => (options, true),
    };
    let weights = numbers(options)?;
    let weights = if weights.is_empty() { vec![1.0; targets.len()] } else { weights };
    if targets.iter().flatten().any(|node| matches!(node, Node::Swap(..))) {
        return Err(PromptError::SwapInBlend);
    }
    let prompts: Vec<Vec<Fragment>> = targets.iter().filter_map(|target| flatten(target)).collect();
    if weights.len() != targets.len() || prompts.len() != targets.len() {
        return Err(PromptError::Weights {
            operator: "blend",
            parts: prompts.len(),
            weights: weights.len(),
        });
    }
    Ok(Part::Blend {
        prompts,
        weights,
        normalize,
    })
}

fn numbers(options: &[String]) -> Result<Vec<f64>, PromptError> {
    options
        .iter()
        .map(|o| o.parse().map_err(|_| PromptError::Number(o.clone())))
        .collect()
}

/// Multiplies weights out and joins neighbours of the same weight with a space. `None` if nothing is left.
fn flatten(nodes: &[Node]) -> Option<Vec<Fragment>> {
    fn walk(nodes: &[Node], scale: f64, out: &mut Vec<(Fragment, bool)>) {
        for node in nodes {
            match node {
                Node::Text(text) => out.push((
                    Fragment {
                        text: text.clone(),
                        weight: scale,
                    },
                    false,
                )),
                Node::Weighted(weight, inner) => walk(inner, scale * weight, out),
                Node::Swap(original) => {
                    let mut inner = Vec::new();
                    walk(original, scale, &mut inner);
                    if inner.is_empty() {
                        inner.push((
                            Fragment {
                                text: String::new(),
                                weight: 1.0,
                            },
                            false,
                        ));
                    }
                    out.extend(fuse(inner).into_iter().map(|fragment| (fragment, true)));
                }
                Node::Lora => {}
            }
        }
    }
    let mut flat = Vec::new();
    walk(nodes, 1.0, &mut flat);
    (!flat.is_empty()).then(|| fuse(flat))
}

/// Joins neighbours of equal weight; what came from a swap (marked) stays on its own.
#[expect(clippy::float_cmp, reason = "weights are equal if they were written alike")]
fn fuse(fragments: Vec<(Fragment, bool)>) -> Vec<Fragment> {
    let mut out: Vec<(Fragment, bool)> = Vec::new();
    for (fragment, apart) in fragments {
        match out.last_mut() {
            Some((last, false)) if !apart && last.weight == fragment.weight => {
                last.text.push(' ');
                last.text.push_str(&fragment.text);
            }
            _ => out.push((fragment, apart)),
        }
    }
    out.into_iter().map(|(fragment, _)| fragment).collect()
}

fn text(chars: &[char]) -> Node {
    let text: String = chars.iter().collect();
    Node::Text(text.replace("\\(", "(").replace("\\)", ")").replace("\\\"", "\""))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Rule {
    Weighted,
    Swap,
    Parenthesised,
    Quoted,
}

/// One text being parsed. Results of the rules that contain each other are kept, so that time grows with the length of the
/// text and not with the power of its nesting.
struct Parser<'a> {
    input: &'a [char],
    known: HashMap<(Rule, usize), Match>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(input: &'a [char]) -> Self {
        Self {
            input,
            known: HashMap::new(),
            depth: 0,
        }
    }

    fn skip(&self, mut pos: usize) -> usize {
        while self.input.get(pos).is_some_and(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) {
            pos += 1;
        }
        pos
    }

    /// A fixed symbol, after white space.
    fn literal(&self, pos: usize, symbol: &str) -> Option<usize> {
        let start = self.skip(pos);
        let end = start + symbol.chars().count();
        (end <= self.input.len() && self.input[start..end].iter().copied().eq(symbol.chars())).then_some(end)
    }

    /// One or more characters that `accept` takes, after white space.
    fn run(&self, pos: usize, accept: impl Fn(char) -> bool) -> Option<(String, usize)> {
        let start = self.skip(pos);
        let len = self.input[start..].iter().take_while(|c| accept(**c)).count();
        (len > 0).then(|| (self.input[start..start + len].iter().collect(), start + len))
    }

    /// A number: `1.5`, `.5`, `-2`, `+1.0`, but not `+1`.
    fn number(&self, pos: usize) -> Option<(f64, usize)> {
        let start = self.skip(pos);
        let digits = |from: usize| {
            self.input[from.min(self.input.len())..]
                .iter()
                .take_while(|c| c.is_ascii_digit())
                .count()
        };
        let sign = self.input.get(start).copied().filter(|c| matches!(c, '+' | '-'));
        let first = start + usize::from(sign.is_some());
        let whole = digits(first);
        let mut end = first + whole;
        if self.input.get(end) == Some(&'.') && (whole > 0 || digits(end + 1) > 0) {
            end += 1 + digits(end + 1);
        } else if whole == 0 || sign == Some('+') {
            return None;
        }
        let number: String = self.input[start..end].iter().collect();
        Some((number.parse().ok()?, end))
    }

    /// `+++` or `---` as a weight.
    fn signs(&self, pos: usize) -> Option<(f64, usize)> {
        let (signs, end) = self.run(pos, |c| c == '+').or_else(|| self.run(pos, |c| c == '-'))?;
        let base: f64 = if signs.starts_with('+') { PLUS } else { MINUS };
        Some((base.powf(signs.len() as f64), end))
    }

    fn weight(&self, pos: usize) -> Option<(f64, usize)> {
        self.signs(pos).or_else(|| self.number(pos))
    }

    /// A word without syntax in it. Escaped symbols belong to it, and so do `+` and `-` inside it.
    fn word(&self, pos: usize) -> Match {
        let start = self.skip(pos);
        let syntax = |c: char| SYNTAX.contains(c);
        let mut end = start;
        while let Some(&c) = self.input.get(end) {
            let next = self.input.get(end + 1).copied();
            end += match c {
                '\\' if next.is_some_and(syntax) => 2,
                '+' | '-' if next.is_some_and(|n| !syntax(n) && !matches!(n, ' ' | '\t' | '\n' | '\r')) => 1,
                c if syntax(c) || c.is_ascii_whitespace() => break,
                _ => 1,
            };
        }
        (end > start).then(|| (vec![text(&self.input[start..end])], end))
    }

    fn remembered(&mut self, rule: Rule, pos: usize, work: fn(&mut Self, usize) -> Match) -> Match {
        // White space before a rule never matters, so that it is looked up by where it really starts.
        let pos = self.skip(pos);
        if let Some(known) = self.known.get(&(rule, pos)) {
            return known.clone();
        }
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let found = work(self, pos);
        self.depth -= 1;
        self.known.insert((rule, pos), found.clone());
        found
    }

    fn quoted(&mut self, pos: usize) -> Match {
        self.remembered(Rule::Quoted, pos, |p, pos| {
            let (inside, end) = p.quotation(pos)?;
            Some((fragment_text(&inside, |inner| inner.parts(0, true))?, end))
        })
    }

    /// The characters between quotes, escaped quotes as bare ones, and where the closing quote ends.
    fn quotation(&self, pos: usize) -> Option<(Vec<char>, usize)> {
        let start = self.literal(pos, "\"")?;
        let mut last_escaped = None;
        let mut at = start;
        let end = loop {
            match self.input.get(at) {
                Some('\\') if self.input.get(at + 1) == Some(&'"') => {
                    last_escaped = Some(at + 1);
                    at += 2;
                }
                Some('"') => break at,
                Some(c) if !matches!(c, '\n' | '\r') => at += 1,
                // Without a closing quote, the last escaped one has to serve.
                _ => break last_escaped?,
            }
        };
        let inside: String = self.input[start..end].iter().collect();
        let inside = inside
            .replace("\\t", "\t")
            .replace("\\n", "\n")
            .replace("\\f", "\x0c")
            .replace("\\r", "\r");
        Some((inside.replace("\\\"", "\"").chars().collect(), end + 1))
    }

    fn parenthesised(&mut self, pos: usize) -> Match {
        self.remembered(Rule::Parenthesised, pos, |p, pos| {
            let start = p.literal(pos, "(")?;
            let (nodes, end) = p.parts(start, true);
            Some((nodes, p.literal(end, ")")?))
        })
    }

    fn target(&mut self, pos: usize) -> Match {
        self.quoted(pos).or_else(|| self.parenthesised(pos)).or_else(|| self.word(pos))
    }

    fn weighted(&mut self, pos: usize) -> Match {
        self.remembered(Rule::Weighted, pos, |p, pos| p.attend(pos).or_else(|| p.directly_weighted(pos)))
    }

    /// `target.attend(weight)`
    fn attend(&mut self, pos: usize) -> Match {
        let (nodes, end) = self.target(pos)?;
        let end = self.literal(end, ".attend")?;
        let (weight, end) = self.weight(self.literal(end, "(")?)?;
        Some((vec![Node::Weighted(weight, nodes)], self.literal(end, ")")?))
    }

    /// A target with its weight right behind it.
    fn directly_weighted(&mut self, pos: usize) -> Match {
        let spaced = |p: &Self, end: usize| p.skip(end) != end;
        if let Some((nodes, end)) = self.quoted(pos).or_else(|| self.parenthesised(pos))
            && !spaced(self, end)
            && let Some((weight, end)) = self.weight(end)
        {
            return Some((vec![Node::Weighted(weight, nodes)], end));
        }
        let (nodes, end) = self.word(pos)?;
        if spaced(self, end) {
            return None;
        }
        let (weight, end) = self.signs(end)?;
        Some((vec![Node::Weighted(weight, nodes)], end))
    }

    fn swap(&mut self, pos: usize) -> Match {
        self.remembered(Rule::Swap, pos, |p, pos| {
            let (original, end) = p.target(pos)?;
            let end = p.literal(end, ".swap")?;
            let (_, mut end) = p.parts(p.literal(end, "(")?, false);
            if let Some(comma) = p.literal(end, ",") {
                end = p.options(comma).1;
            }
            Some((vec![Node::Swap(original)], p.literal(end, ")")?))
        })
    }

    fn lora(&self, pos: usize) -> Option<usize> {
        let end = self.literal(pos, "useLora").or_else(|| self.literal(pos, "withLora"))?;
        let (_, mut end) = self.keyword(self.literal(end, "(")?)?;
        if let Some((_, after)) = self.literal(end, ",").and_then(|comma| self.number(comma)) {
            end = after;
        }
        self.literal(end, ")")
    }

    fn loras(&self, mut pos: usize) -> usize {
        while let Some(end) = self.lora(pos) {
            pos = end;
        }
        pos
    }

    fn keyword(&self, pos: usize) -> Option<(String, usize)> {
        self.run(pos, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    }

    /// What may stand inside parentheses and quotes, as much of it as there is.
    fn parts(&mut self, pos: usize, punctuation: bool) -> (Vec<Node>, usize) {
        let mut nodes = Vec::new();
        let mut pos = pos;
        loop {
            let found = self
                .lora(pos)
                .map(|end| (vec![Node::Lora], end))
                .or_else(|| self.weighted(pos))
                .or_else(|| self.swap(pos))
                .or_else(|| self.parenthesised(pos))
                .or_else(|| self.quoted(pos))
                .or_else(|| self.word(pos))
                .or_else(|| {
                    let mark = [",", "."]
                        .into_iter()
                        .filter(|_| punctuation)
                        .find_map(|m| Some((m, self.literal(pos, m)?)))?;
                    Some((vec![Node::Text(mark.0.to_owned())], mark.1))
                });
            let Some((found, end)) = found else { return (nodes, pos) };
            nodes.extend(found);
            pos = end;
        }
    }

    /// A prompt's pieces: like parts, but what fits nothing is taken as text up to the next white space.
    fn pieces(&mut self, pos: usize) -> (Vec<Node>, usize) {
        let mut nodes = Vec::new();
        let mut pos = pos;
        loop {
            let found = self
                .swap(pos)
                .or_else(|| self.lora(pos).map(|end| (vec![Node::Lora], end)))
                .or_else(|| self.weighted(pos))
                .or_else(|| self.quoted(pos))
                .or_else(|| self.parenthesised(pos))
                .or_else(|| {
                    let start = self.skip(pos);
                    let len = self.input[start..].iter().take_while(|c| !c.is_ascii_whitespace()).count();
                    (len > 0).then(|| (vec![text(&self.input[start..start + len])], start + len))
                });
            let Some((found, end)) = found else { return (nodes, pos) };
            nodes.extend(found);
            pos = end;
        }
    }

    /// Comma-separated options, possibly none: numbers as they read, keywords, and `keyword=value` as the keyword.
    fn options(&self, pos: usize) -> (Vec<String>, usize) {
        let option = |pos: usize| -> Option<(String, usize)> {
            if let Some((keyword, end)) = self.keyword(pos)
                && let Some(value) = self.literal(end, "=")
                && let Some(end) = self.number(value).map(|n| n.1).or_else(|| self.keyword(value).map(|k| k.1))
            {
                return Some((keyword, end));
            }
            self.number(pos).map(|(n, end)| (n.to_string(), end)).or_else(|| self.keyword(pos))
        };
        let mut found = Vec::new();
        let mut pos = pos;
        let mut next = option(pos);
        while let Some((value, end)) = next {
            found.push(value);
            pos = end;
            next = self.literal(pos, ",").and_then(option);
        }
        (found, pos)
    }

    /// `(target, …)` followed by one of the operators and its options.
    fn combination(&mut self, pos: usize, operators: &[&str]) -> Option<(Vec<Vec<Node>>, Vec<String>, usize)> {
        let mut pos = self.literal(pos, "(")?;
        let mut targets = Vec::new();
        loop {
            let (nodes, end) = self.target(pos).or_else(|| {
                let (inside, end) = self.quotation(pos)?;
                Some((fragment_text(&inside, |inner| inner.pieces(0))?, end))
            })?;
            targets.push(nodes);
            pos = end;
            match self.literal(pos, ",") {
                Some(comma) => pos = comma,
                None => break,
            }
        }
        let pos = self.literal(pos, ")")?;
        let pos = operators.iter().find_map(|operator| self.literal(pos, operator))?;
        let (options, end) = self.options(self.literal(pos, "(")?);
        Some((targets, options, self.literal(end, ")")?))
    }
}

/// Parses the inside of quotes; the rule must take all of it. Quotes in it are text.
fn fragment_text(inside: &[char], rule: impl Fn(&mut Parser<'_>) -> (Vec<Node>, usize)) -> Option<Vec<Node>> {
    if inside.iter().all(|c| c.is_whitespace()) {
        return Some(vec![Node::Text(String::new())]);
    }
    let escaped: Vec<char> = inside
        .iter()
        .flat_map(|&c| if c == '"' { vec!['\\', '"'] } else { vec![c] })
        .collect();
    let mut parser = Parser::new(&escaped);
    let (nodes, end) = rule(&mut parser);
    (parser.skip(end) == escaped.len()).then_some(nodes)
}
