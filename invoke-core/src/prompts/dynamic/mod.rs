//! Templates in the notation of the `dynamicprompts` package: `a {red|blue} cat`, `{2$$ and $$a|b|c}`, `{0.5::rare|often}`, `${colour={red|blue}}`,
//! `%{a photo of ...$$cat}`, `__wildcard__`. There are no files of wildcards here, so a wildcard stands for itself.

mod all;
mod parse;
mod random;

use std::collections::BTreeMap;

pub use parse::ParseError;

use self::parse::Part;

/// Longest template, in bytes; the work grows with it.
const LONGEST: usize = 100_000;

/// Why a template yields no prompts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is malformed.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Wildcards without values stand where one of several is chosen.
    #[error("No values found for wildcard(s): {}", .0.join(", "))]
    Wildcards(Vec<String>),
    /// A variable is used that has no value.
    #[error("Variable {0} is not defined in this context")]
    UnknownVariable(String),
    /// A variable's value needs the variable itself.
    #[error("Variable {0} is being sampled recursively")]
    Recursion(String),
    /// More is to be chosen than there is.
    #[error("the template is too large")]
    TooLarge,
}

/// What a variable stands for: what is still to be written out, each time anew, or a text that was fixed at once.
#[derive(Clone)]
enum Value<'a> {
    Part(&'a Part),
    Text(String),
}

/// Values of variables, by their names.
type Variables<'a> = BTreeMap<&'a str, Value<'a>>;

/// Variables within a sequence: those around it and those that its own parts assign. `read_at_once` says what a value reads where it is read at once.
fn assigned<'a, E>(
    parts: &'a [Part],
    outer: &Variables<'a>,
    mut read_at_once: impl FnMut(&'a Part) -> Result<String, E>,
) -> Result<Variables<'a>, E> {
    let mut variables = outer.clone();
    for part in parts {
        let Part::Assignment {
            name,
            value,
            at_once,
            keeps,
        } = part
        else {
            continue;
        };
        if *keeps && outer.contains_key(name.as_str()) {
            continue;
        }
        let value = if *at_once {
            Value::Text(read_at_once(value)?)
        } else {
            Value::Part(value)
        };
        variables.insert(name, value);
    }
    Ok(variables)
}

fn parsed(template: &str) -> Result<Part, TemplateError> {
    if template.len() > LONGEST {
        return Err(TemplateError::TooLarge);
    }
    Ok(parse::parse(template)?)
}

/// The first `most` prompts of all that a template stands for, in order.
///
/// # Errors
/// It is malformed, or chooses among wildcards.
pub fn all(template: &str, most: usize) -> Result<Vec<String>, TemplateError> {
    let part = parsed(template)?;
    let wildcards = part.wildcards_chosen();
    if !wildcards.is_empty() {
        return Err(TemplateError::Wildcards(wildcards));
    }
    if template.is_empty() {
        return Ok(Vec::new());
    }
    all::prompts(&part, most)
}

/// So many prompts that a template stands for, by chance; `draw` yields evenly distributed numbers from 0 up to 1.
///
/// # Errors
/// It is malformed.
pub fn random(template: &str, count: usize, draw: &mut dyn FnMut() -> f64) -> Result<Vec<String>, TemplateError> {
    let part = parsed(template)?;
    if template.is_empty() {
        return Ok(Vec::new());
    }
    (0..count).map(|_| random::prompt(&part, draw)).collect()
}

#[cfg(test)]
mod tests;
