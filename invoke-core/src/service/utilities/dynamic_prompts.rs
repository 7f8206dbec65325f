//! Prompts with alternatives in them.
//!
//! `{a|b}` stands for either; `{2$$a|b|c}` for two of them in any order, `{1-2$$ and $$a|b}` for one or two with ` and ` between. A number
//! and `::` before an alternative (`{0.3::a|b}`) say how likely it is. They nest. A brace that closes nothing stands for itself, and so does
//! a name between double underscores, since there are no lists of words here.

use rand::{Rng, SeedableRng, rngs::StdRng};

/// How deep alternatives may nest.
const DEEPEST: usize = 32;

/// A template, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Choice(Choice),
}

#[derive(Debug, Clone, PartialEq)]
struct Choice {
    options: Vec<(f64, Vec<Piece>)>,
    least: usize,
    most: usize,
    separator: String,
}

/// Reads a template from left to right.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Template {
    /// Reads a template; the reason if a brace is never closed, or nesting is too deep.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let mut pieces = Vec::new();
        while reader.at < text.len() {
            match reader.piece(false, 0)? {
                Some(piece) => pieces.push(piece),
                None => pieces.push(Piece::Text(reader.take_one())),
            }
        }
        Ok(Self(pieces))
    }

    /// Names between double underscores inside alternatives, for which there are no words.
    pub(super) fn unknown_wildcards(&self) -> Vec<String> {
        fn collect(pieces: &[Piece], is_inside: bool, names: &mut Vec<String>) {
            for piece in pieces {
                match piece {
                    Piece::Choice(choice) => choice.options.iter().for_each(|(_, option)| collect(option, true, names)),
                    Piece::Text(text) if is_inside => {
                        let mut parts = text.split("__");
                        parts.next();
                        while let (Some(name), Some(_)) = (parts.next(), parts.next()) {
                            if !name.is_empty() && !names.iter().any(|known| known == name) {
                                names.push(name.to_owned());
                            }
                        }
                    }
                    Piece::Text(_) => {}
                }
            }
        }
        let mut names = Vec::new();
        collect(&self.0, false, &mut names);
        names
    }

    /// The first `most` prompts; of several alternatives the last one changes fastest. Never none.
    pub(super) fn all(&self, most: usize) -> Vec<String> {
        let found = sequences(&self.0, most.max(1));
        if found.is_empty() { vec![String::new()] } else { found }
    }

    /// So many prompts by chance.
    pub(super) fn drawn(&self, count: usize, seed: u64) -> Vec<String> {
        let mut rng = StdRng::seed_from_u64(seed);
        (0..count.max(1)).map(|_| draw(&self.0, &mut rng)).collect()
    }
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn take_one(&mut self) -> String {
        let one = self.rest().chars().next().map(String::from).unwrap_or_default();
        self.at += one.len();
        one
    }

    /// The next piece; none at something that ends an alternative.
    fn piece(&mut self, is_inside: bool, depth: usize) -> Result<Option<Piece>, String> {
        if self.rest().starts_with('{') {
            return self.choice(depth).map(|choice| Some(Piece::Choice(choice)));
        }
        let ends = |c: char| c == '{' || (is_inside && (c == '|' || c == '}'));
        let length = self.rest().find(ends).unwrap_or(self.rest().len());
        if length == 0 {
            return Ok(None);
        }
        let text = self.rest()[..length].to_owned();
        self.at += length;
        Ok(Some(Piece::Text(text)))
    }

    fn choice(&mut self, depth: usize) -> Result<Choice, String> {
        let begun = self.at;
        let unclosed = |text: &str| {
            let before = &text[..begun];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
            format!(
                "Expected end of text, found '{{'  (at char {}), (line:{line}, col:{column})",
                before.chars().count()
            )
        };
        if depth == DEEPEST {
            return Err(format!("Alternatives nest too deep: {DEEPEST} levels at most"));
        }
        self.at += 1;
        let (least, most, separator) = self.bounds();
        let mut options = Vec::new();
        loop {
            let weight = self.weight();
            let mut pieces = Vec::new();
            while let Some(piece) = self.piece(true, depth + 1)? {
                pieces.push(piece);
            }
            options.push((weight, pieces));
            match self.rest().chars().next() {
                Some('|') => self.at += 1,
                Some(_) => {
                    self.at += 1;
                    break;
                }
                None => return Err(unclosed(self.text)),
            }
        }
        let count = options.len();
        let most = most.unwrap_or(count).min(count);
        Ok(Choice {
            options,
            least: least.min(most),
            most,
            separator,
        })
    }

    /// `2$$`, `1-3$$`, `2$$ and $$` at the beginning of alternatives: least, most (none for all), separator.
    fn bounds(&mut self) -> (usize, Option<usize>, String) {
        let plain = (1, Some(1), ",".to_owned());
        let Some((head, after)) = self.rest().split_once("$$") else {
            return plain;
        };
        let number = |text: &str, otherwise| {
            if text.is_empty() {
                Some(otherwise)
            } else {
                text.trim().parse::<usize>().ok().map(Some)
            }
        };
        let bounds = match head.split_once('-') {
            Some((low, high)) => number(low, Some(1)).flatten().zip(number(high, None)),
            None => number(head, Some(1)).flatten().map(|n| (n, Some(n))),
        };
        let Some((least, most)) = bounds.filter(|_| !head.is_empty()) else {
            return plain;
        };
        let mut used = head.len() + 2;
        let mut separator = ",".to_owned();
        if let Some((between, _)) = after.split_once("$$").filter(|(between, _)| !between.contains(['|', '{', '}'])) {
            between.clone_into(&mut separator);
            used += between.len() + 2;
        }
        self.at += used;
        (least, most, separator)
    }

    /// `0.3::` before an alternative.
    fn weight(&mut self) -> f64 {
        let Some((head, _)) = self.rest().split_once("::") else {
            return 1.0;
        };
        match head.trim().parse::<f64>() {
            Ok(weight) if weight.is_finite() && weight >= 0.0 => {
                self.at += head.len() + 2;
                weight
            }
            _ => 1.0,
        }
    }
}

/// At most `most` texts of pieces one after the other.
fn sequences(pieces: &[Piece], most: usize) -> Vec<String> {
    let mut found = vec![String::new()];
    for piece in pieces {
        let texts = match piece {
            Piece::Text(text) => vec![text.clone()],
            Piece::Choice(choice) => choices(choice, most),
        };
        found = found
            .iter()
            .flat_map(|head| texts.iter().map(move |tail| format!("{head}{tail}")))
            .take(most)
            .collect();
    }
    found
}

/// At most `most` texts of alternatives: fewer of them before more, each number in every order.
fn choices(choice: &Choice, most: usize) -> Vec<String> {
    let options: Vec<Vec<String>> = choice.options.iter().map(|(_, option)| sequences(option, most)).collect();
    let mut found = Vec::new();
    for count in choice.least..=choice.most {
        arrange(&options, count, &mut Vec::new(), &choice.separator, most, &mut found);
    }
    found
}

fn arrange(options: &[Vec<String>], count: usize, chosen: &mut Vec<usize>, separator: &str, most: usize, found: &mut Vec<String>) {
    if found.len() >= most {
        return;
    }
    if chosen.len() == count {
        let mut texts = vec![String::new()];
        for (place, &option) in chosen.iter().enumerate() {
            let joint = if place == 0 { "" } else { separator };
            texts = texts
                .iter()
                .flat_map(|head| options[option].iter().map(move |tail| format!("{head}{joint}{tail}")))
                .take(most)
                .collect();
        }
        found.extend(texts.into_iter().take(most - found.len()));
        return;
    }
    for option in 0..options.len() {
        if !chosen.contains(&option) {
            chosen.push(option);
            arrange(options, count, chosen, separator, most, found);
            chosen.pop();
        }
    }
}

fn draw(pieces: &[Piece], rng: &mut StdRng) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(plain) => text.push_str(plain),
            Piece::Choice(choice) => {
                let count = rng.random_range(choice.least..=choice.most);
                let mut left: Vec<usize> = (0..choice.options.len()).collect();
                for place in 0..count {
                    let total: f64 = left.iter().map(|&option| choice.options[option].0).sum();
                    let mut mark = rng.random::<f64>() * total;
                    let at = left.iter().position(|&option| {
                        mark -= choice.options[option].0;
                        mark < 0.0
                    });
                    let option = left.remove(at.unwrap_or(left.len() - 1));
                    if place > 0 {
                        text.push_str(&choice.separator);
                    }
                    text.push_str(&draw(&choice.options[option].1, rng));
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        Template::parse(text).unwrap().all(20)
    }

    /// Observed on the original.
    #[test]
    fn alternatives_come_in_the_originals_order() {
        assert_eq!(
            all("a {red|green} {cat|dog}"),
            ["a red cat", "a red dog", "a green cat", "a green dog"]
        );
        assert_eq!(all("{2$$a|b|c}"), ["a,b", "a,c", "b,a", "b,c", "c,a", "c,b"]);
        assert_eq!(all("{1-2$$a|b}"), ["a", "b", "a,b", "b,a"]);
        assert_eq!(all("{2$$ and $$a|b}"), ["a and b", "b and a"]);
        assert_eq!(all("{0.7::a|b}"), ["a", "b"]);
        assert_eq!(all("x {a|{b|c}} y"), ["x a y", "x b y", "x c y"]);
        assert_eq!(all("a}b|c"), ["a}b|c"]);
        assert_eq!(all("{|a}"), ["", "a"]);
        assert_eq!(all("{}"), [""]);
        assert_eq!(all(""), [""]);
        assert_eq!(
            Template::parse("{a|b").unwrap_err(),
            "Expected end of text, found '{'  (at char 0), (line:1, col:1)"
        );
    }

    #[test]
    fn no_template_makes_more_than_is_asked_for() {
        let many = "{a|b|c|d|e|f|g|h|i|j}".repeat(12);
        assert_eq!(Template::parse(&many).unwrap().all(7).len(), 7);
        assert_eq!(Template::parse("{12$$a|b|c|d|e|f|g|h|i|j|k|l}").unwrap().all(5).len(), 5);
        assert!(Template::parse(&"{".repeat(100_000)).is_err());
    }

    #[test]
    fn chance_repeats_itself_for_a_seed_and_heeds_weights() {
        let template = Template::parse("{9::a|1::b} {2$$x|y|z}").unwrap();
        let drawn = template.drawn(200, 7);
        assert_eq!(drawn, template.drawn(200, 7));
        let with_a = drawn.iter().filter(|text| text.starts_with('a')).count();
        assert!((150..200).contains(&with_a), "{with_a}");
    }

    #[test]
    fn names_without_words_matter_only_inside_alternatives() {
        assert_eq!(Template::parse("{__animal__|a} __place__").unwrap().unknown_wildcards(), ["animal"]);
        assert_eq!(all("__place__ x"), ["__place__ x"]);
    }
}
