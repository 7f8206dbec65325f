//! From a template's text to its parts.

use std::collections::BTreeSet;

/// How deep braces may nest.
const DEEPEST: usize = 64;

/// A template is malformed from this place on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Expected end of text, found '{found}'  (at char {at}), (line:{line}, col:{column})")]
pub struct ParseError {
    found: String,
    at: usize,
    line: usize,
    column: usize,
}

/// One of several alternatives.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    pub(super) weight: f64,
    pub(super) value: Part,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Text(String),
    /// Parts behind each other.
    Sequence(Vec<Part>),
    /// Between `least` and `most` of the choices, joined.
    Choices {
        choices: Vec<Choice>,
        least: usize,
        most: usize,
        separator: String,
        /// Chosen by chance, or one after another, even where all are wanted.
        one_at_a_time: bool,
    },
    /// `__name__`.
    Wildcard(Box<Part>),
    /// `${name=value}`.
    Assignment {
        name: String,
        value: Box<Part>,
        /// Chosen once, where it is assigned.
        at_once: bool,
        /// A value from before stays.
        keeps: bool,
    },
    /// `${name}` or `${name:default}`.
    Variable {
        name: String,
        default: Option<Box<Part>>,
    },
    /// `%{wrapper$$inner}`: the inner part stands where the wrapper has an ellipsis.
    Wrap {
        wrapper: Box<Part>,
        inner: Box<Part>,
    },
}

impl Part {
    /// Names of wildcards that stand where one of several is chosen.
    pub(super) fn wildcards_chosen(&self) -> Vec<String> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        self.visit(false, &mut |name| {
            if seen.insert(name.to_owned()) {
                found.push(name.to_owned());
            }
        });
        found
    }

    fn visit(&self, chosen: bool, tell: &mut dyn FnMut(&str)) {
        match self {
            Self::Wildcard(name) => {
                if let (true, Self::Text(name)) = (chosen, name.as_ref()) {
                    tell(name);
                }
            }
            Self::Sequence(parts) => parts.iter().for_each(|part| part.visit(chosen, tell)),
            Self::Choices { choices, .. } => choices.iter().for_each(|choice| choice.value.visit(true, tell)),
            Self::Wrap { wrapper, inner } => {
                wrapper.visit(chosen, tell);
                inner.visit(chosen, tell);
            }
            Self::Text(_) | Self::Assignment { .. } | Self::Variable { .. } => {}
        }
    }
}

/// Where in a template a text stands; that decides which characters end it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Top,
    Choice,
    Name,
}

/// Reads a template.
pub(super) fn parse(template: &str) -> Result<Part, ParseError> {
    let mut reader = Reader {
        text: template,
        at: 0,
        depth: 0,
    };
    let part = reader.sequence(Place::Top);
    reader.skip_comments();
    if reader.at == template.len() {
        return Ok(part);
    }
    let rest = &template[reader.at..];
    let before = &template[..reader.at];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let word: String = rest.chars().take(16).take_while(char::is_ascii_alphanumeric).collect();
    Err(ParseError {
        found: if word.is_empty() { rest.chars().take(1).collect() } else { word },
        at: before.chars().count(),
        line: before.matches('\n').count() + 1,
        column: template[line_start..reader.at].chars().count() + 1,
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn eat(&mut self, text: &str) -> Option<()> {
        self.rest().starts_with(text).then(|| self.at += text.len())
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Runs a rule; if it does not apply, nothing was read.
    fn attempt<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let (at, depth) = (self.at, self.depth);
        let found = rule(self);
        if found.is_none() {
            (self.at, self.depth) = (at, depth);
        }
        found
    }

    /// Comments: `# …`, `// …`, `/* … */`.
    fn skip_comments(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(end) = rest.strip_prefix("/*").and_then(|inner| inner.find("*/")) {
                self.at += end + 4;
            } else {
                return;
            }
        }
    }

    fn sequence(&mut self, place: Place) -> Part {
        let mut parts = Vec::new();
        loop {
            let before = self.at;
            self.skip_comments();
            match self.part(place) {
                Some(part) => parts.push(part),
                None => {
                    if self.at != before && place != Place::Top {
                        self.at = before;
                    }
                    break;
                }
            }
        }
        if parts.len() == 1 {
            parts.swap_remove(0)
        } else {
            Part::Sequence(parts)
        }
    }

    fn part(&mut self, place: Place) -> Option<Part> {
        if self.depth >= DEEPEST {
            return None;
        }
        self.depth += 1;
        let part = match place {
            Place::Top => self
                .assignment()
                .or_else(|| self.variable(place))
                .or_else(|| self.wrap())
                .or_else(|| self.choices())
                .or_else(|| self.wildcard()),
            Place::Choice => self
                .variable(place)
                .or_else(|| self.wrap())
                .or_else(|| self.choices())
                .or_else(|| self.wildcard()),
            Place::Name => self.variable(place).or_else(|| self.choices()),
        };
        self.depth -= 1;
        part.or_else(|| self.literal(place))
    }

    fn literal(&mut self, place: Place) -> Option<Part> {
        let ends = |c: char| match place {
            Place::Top => "#{$%".contains(c),
            Place::Choice => "#{$%|}".contains(c),
            Place::Name => "#{$%()".contains(c),
        };
        let rest = self.rest();
        let mut end = rest.find(ends).unwrap_or(rest.len());
        end = rest[..end].find("__").unwrap_or(end);
        (end > 0).then(|| {
            self.at += end;
            Part::Text(rest[..end].to_owned())
        })
    }

    fn name(&mut self) -> Option<String> {
        let rest = self.rest();
        let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '-';
        let end = rest.find(|c: char| !(first(c) || c.is_ascii_digit())).unwrap_or(rest.len());
        (end > 0 && rest.starts_with(first)).then(|| {
            self.at += end;
            rest[..end].to_owned()
        })
    }

    fn assignment(&mut self) -> Option<Part> {
        self.attempt(|r| {
            r.eat("${")?;
            r.spaces();
            let name = r.name()?;
            r.spaces();
            let keeps = r.eat("?").is_some();
            r.eat("=")?;
            let at_once = r.eat("!").is_some();
            r.spaces();
            let value = r.sequence(Place::Choice);
            r.spaces();
            r.eat("}")?;
            Some(Part::Assignment {
                name,
                value: Box::new(value),
                at_once,
                keeps,
            })
        })
    }

    fn variable(&mut self, place: Place) -> Option<Part> {
        self.attempt(|r| {
            r.eat("${")?;
            r.spaces();
            let name = r.name()?;
            r.spaces();
            let mut default = None;
            if r.eat(":").is_some() {
                r.spaces();
                default = Some(Box::new(r.sequence(Place::Choice)));
            }
            r.spaces();
            r.eat("}")?;
            // In the name of a wildcard, a variable without a value is its own name.
            if place == Place::Name {
                let text = match default.as_deref() {
                    Some(Part::Text(text)) => text.trim().to_owned(),
                    _ => name.clone(),
                };
                default = Some(Box::new(Part::Text(text)));
            }
            Some(Part::Variable { name, default })
        })
    }

    fn wrap(&mut self) -> Option<Part> {
        self.attempt(|r| {
            r.eat("%{")?;
            r.spaces();
            let wrapper = r.sequence(Place::Choice);
            r.spaces();
            r.eat("$$")?;
            r.spaces();
            let inner = r.sequence(Place::Choice);
            r.eat("}")?;
            Some(Part::Wrap {
                wrapper: Box::new(wrapper),
                inner: Box::new(inner),
            })
        })
    }

    fn wildcard(&mut self) -> Option<Part> {
        self.attempt(|r| {
            r.eat("__")?;
            r.symbol();
            let name = r.sequence(Place::Name);
            if name == Part::Sequence(Vec::new()) {
                return None;
            }
            // Values for variables in a wildcard's own texts, of which there are none.
            r.attempt(|r| {
                r.spaces();
                r.eat("(")?;
                let inner = r.rest().find(')').filter(|end| *end > 0)?;
                r.at += inner + 1;
                Some(())
            });
            r.eat("__")?;
            Some(Part::Wildcard(Box::new(name)))
        })
    }

    /// `~`, `!` or `@` before choices: by chance, all, one after another.
    fn symbol(&mut self) -> Option<char> {
        let symbol = self.rest().chars().next().filter(|c| "~!@".contains(*c))?;
        self.at += 1;
        Some(symbol)
    }

    fn number(&mut self) -> Option<usize> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest[..end].parse().ok()?;
        self.at += end;
        Some(number)
    }

    /// `2$$`, `1-3$$`, `-3$$`, `1-$$`, and then perhaps `separator$$`.
    fn bounds(&mut self) -> Option<(Option<usize>, Option<usize>, String)> {
        self.attempt(|r| {
            let lower = r.number();
            let dash = r.eat("-").is_some();
            let upper = if dash { r.number() } else { lower };
            if lower.is_none() && upper.is_none() {
                return None;
            }
            r.eat("$$")?;
            let separator = r.attempt(|r| {
                let rest = r.rest();
                let end = rest.find(|c: char| "${}".contains(c) || !(c == ' ' || c.is_ascii_graphic()))?;
                r.at += end;
                r.eat("$$")?;
                (end > 0).then(|| rest[..end].to_owned())
            });
            Some((lower, upper, separator.unwrap_or_else(|| ",".into())))
        })
    }

    fn weight(&mut self) -> Option<f64> {
        self.attempt(|r| {
            let rest = r.rest();
            let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '+' || c == '-'))?;
            let weight = rest[..end]
                .parse::<f64>()
                .ok()
                .filter(|weight| weight.is_finite() && *weight >= 0.0)?;
            r.at += end;
            r.eat("::")?;
            Some(weight)
        })
    }

    fn choices(&mut self) -> Option<Part> {
        self.attempt(|r| {
            r.eat("{")?;
            r.spaces();
            let symbol = r.symbol();
            let bounds = r.bounds();
            r.spaces();
            let mut choices = Vec::new();
            loop {
                r.spaces();
                let weight = r.weight().unwrap_or(1.0);
                let value = r.sequence(Place::Choice);
                r.spaces();
                choices.push(Choice { weight, value });
                if r.eat("|").is_none() {
                    break;
                }
            }
            r.spaces();
            r.eat("}")?;
            let n = choices.len();
            let (a, b, separator) = match bounds {
                None => (1, 1, ",".to_owned()),
                Some((lower, upper, separator)) => (lower.unwrap_or(1), upper.unwrap_or(n), separator),
            };
            Some(Part::Choices {
                choices,
                least: a.min(b).min(n),
                most: a.max(b).min(n),
                separator,
                one_at_a_time: matches!(symbol, Some('~' | '@')),
            })
        })
    }
}
