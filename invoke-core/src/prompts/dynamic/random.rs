//! One prompt of a template by chance.

use super::{
    TemplateError, Value, Variables, assigned,
    parse::{Choice, Part},
};

type Draw<'d> = &'d mut dyn FnMut() -> f64;

/// A prompt.
pub(super) fn prompt(part: &Part, draw: Draw<'_>) -> Result<String, TemplateError> {
    text(part, &Variables::new(), &[], draw)
}

fn text<'a>(part: &'a Part, variables: &Variables<'a>, within: &[&str], draw: Draw<'_>) -> Result<String, TemplateError> {
    Ok(match part {
        Part::Text(text) => text.clone(),
        Part::Sequence(parts) => {
            let inner = assigned(parts, variables, |value| text(value, variables, within, draw))?;
            let mut whole = String::new();
            for part in parts.iter().filter(|part| !matches!(part, Part::Assignment { .. })) {
                whole.push_str(&text(part, &inner, within, draw)?);
            }
            whole
        }
        Part::Choices {
            choices,
            least,
            most,
            separator,
            ..
        } => {
            if let [only] = choices.as_slice() {
                return text(&only.value, variables, within, draw);
            }
            let n = least + below(most - least + 1, draw);
            let mut texts = Vec::with_capacity(n);
            for choice in chosen(choices, n, draw) {
                texts.push(text(&choice.value, variables, within, draw)?);
            }
            joined(&texts, separator)
        }
        Part::Wildcard(name) => format!("__{}__", text(name, variables, within, draw)?),
        Part::Assignment { .. } => String::new(),
        Part::Variable { name, default } => {
            if within.contains(&name.as_str()) {
                return Err(TemplateError::Recursion(name.clone()));
            }
            let within: Vec<&str> = within.iter().copied().chain([name.as_str()]).collect();
            match (variables.get(name.as_str()), default) {
                (Some(Value::Text(text)), _) => text.clone(),
                (Some(Value::Part(value)), _) => text(value, variables, &within, draw)?,
                (None, Some(value)) => text(value, variables, &within, draw)?,
                (None, None) => return Err(TemplateError::UnknownVariable(name.clone())),
            }
        }
        Part::Wrap { wrapper, inner } => {
            let around = text(wrapper, variables, within, draw)?;
            wrapped(&around, &text(inner, variables, within, draw)?)
        }
    })
}

/// A number from 0 up to below `n`.
fn below(n: usize, draw: Draw<'_>) -> usize {
    ((draw() * n as f64) as usize).min(n - 1)
}

/// So many different choices, heavier ones likelier.
fn chosen<'c>(choices: &'c [Choice], n: usize, draw: Draw<'_>) -> Vec<&'c Choice> {
    let mut left: Vec<&Choice> = choices.iter().collect();
    let mut taken = Vec::with_capacity(n);
    while taken.len() < n && !left.is_empty() {
        let total: f64 = left.iter().map(|choice| choice.weight).sum();
        let mut mark = draw() * total;
        let at = left.iter().position(|choice| {
            mark -= choice.weight;
            mark < 0.0
        });
        taken.push(left.remove(at.unwrap_or(left.len() - 1)));
    }
    taken
}

/// Texts with a separator between them, which is not left at either end.
pub(super) fn joined(texts: &[String], separator: &str) -> String {
    if let [only] = texts {
        return only.clone();
    }
    let whole = texts.join(separator);
    if separator.is_empty() {
        return whole;
    }
    let whole = whole.strip_prefix(separator).unwrap_or(&whole);
    whole.strip_suffix(separator).unwrap_or(whole).to_owned()
}

/// A text in the place of another's first ellipsis, or behind it.
pub(super) fn wrapped(wrapper: &str, inner: &str) -> String {
    const ELLIPSES: [char; 7] = ['\u{1801}', '\u{2026}', '\u{22ee}', '\u{22ef}', '\u{22f0}', '\u{22f1}', '\u{fe19}'];
    let sign = wrapper.find(ELLIPSES).map(|at| {
        let end = wrapper[at..].find(|c| !ELLIPSES.contains(&c)).map_or(wrapper.len(), |n| at + n);
        (at, end)
    });
    let dots = wrapper.find("...").map(|at| {
        let end = wrapper[at..].find(|c| c != '.').map_or(wrapper.len(), |n| at + n);
        (at, end)
    });
    let found = match (sign, dots) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    match found {
        Some((start, end)) => format!("{}{inner}{}", &wrapper[..start], &wrapper[end..]),
        None => format!("{wrapper}{inner}"),
    }
}
