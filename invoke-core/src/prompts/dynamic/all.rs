//! All prompts of a template, in order.

use std::{collections::HashSet, ops::ControlFlow};

use super::{
    TemplateError, Value, Variables, assigned,
    parse::{Choice, Part},
    random::wrapped,
};

/// Steps after which the search for the next prompt is given up: choices that all read the same would be tried forever.
const MOST_STEPS: usize = 5_000_000;

/// How many alternatives are taken in turn at most.
const MOST_IN_TURN: usize = 10_000;

type Flow = ControlFlow<()>;

struct Search {
    steps: usize,
    error: Option<TemplateError>,
}

/// The first `most` prompts.
pub(super) fn prompts(part: &Part, most: usize) -> Result<Vec<String>, TemplateError> {
    let mut found = Vec::new();
    if most == 0 {
        return Ok(found);
    }
    let mut search = Search { steps: 0, error: None };
    let _ = search.each(part, &Variables::new(), &[], &mut |_, text| {
        found.push(text);
        if found.len() < most { Flow::Continue(()) } else { Flow::Break(()) }
    });
    search.error.map_or(Ok(found), Err)
}

type Tell<'t> = &'t mut dyn FnMut(&mut Search, String) -> Flow;

impl Search {
    fn fail(&mut self, error: TemplateError) -> Flow {
        self.error.get_or_insert(error);
        Flow::Break(())
    }

    /// Tells every text that a part stands for. `within` are the variables whose values are being read.
    fn each<'a>(&mut self, part: &'a Part, variables: &Variables<'a>, within: &[&str], tell: Tell<'_>) -> Flow {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Flow::Break(());
        }
        match part {
            Part::Text(text) => tell(self, text.clone()),
            Part::Sequence(parts) => self.sequence(parts, variables, within, tell),
            Part::Choices {
                choices,
                least,
                most,
                separator,
                ..
            } => {
                let mut seen = HashSet::new();
                for n in *least..=*most {
                    self.combinations(choices, n, &mut Vec::new(), variables, within, separator, &mut seen, tell)?;
                }
                Flow::Continue(())
            }
            Part::Wildcard(name) => {
                let mut first = None;
                let _ = self.each(name, variables, within, &mut |_, text| {
                    first = Some(text);
                    Flow::Break(())
                });
                if self.error.is_some() {
                    return Flow::Break(());
                }
                let text = format!("__{}__", first.unwrap_or_default());
                // A wildcard without values stands for itself, again and again: as many prompts as are wanted.
                loop {
                    self.steps += 1;
                    if self.steps > MOST_STEPS {
                        return Flow::Break(());
                    }
                    tell(self, text.clone())?;
                }
            }
            Part::Assignment { .. } => Flow::Continue(()),
            Part::Variable { name, default } => {
                if within.contains(&name.as_str()) {
                    return self.fail(TemplateError::Recursion(name.clone()));
                }
                let within: Vec<&str> = within.iter().copied().chain([name.as_str()]).collect();
                match (variables.get(name.as_str()).cloned(), default) {
                    (Some(Value::Text(text)), _) => tell(self, text),
                    (Some(Value::Part(value)), _) => self.each(value, variables, &within, tell),
                    (None, Some(value)) => self.each(value, variables, &within, tell),
                    (None, None) => self.fail(TemplateError::UnknownVariable(name.clone())),
                }
            }
            Part::Wrap { wrapper, inner } => self.each(wrapper, variables, within, &mut |search, around| {
                search.each(inner, variables, within, &mut |search, text| tell(search, wrapped(&around, &text)))
            }),
        }
    }

    fn sequence<'a>(&mut self, parts: &'a [Part], outer: &Variables<'a>, within: &[&str], tell: Tell<'_>) -> Flow {
        let variables = assigned(parts, outer, |value| {
            let mut first = None;
            let _ = self.each(value, outer, within, &mut |_, text| {
                first = Some(text);
                Flow::Break(())
            });
            if self.error.is_some() {
                Err(())
            } else {
                Ok(first.unwrap_or_default())
            }
        });
        let Ok(variables) = variables else {
            return Flow::Break(());
        };
        let parts: Vec<&Part> = parts.iter().filter(|part| !matches!(part, Part::Assignment { .. })).collect();
        self.joined(&parts, "", &variables, within, tell)
    }

    fn joined<'a>(&mut self, parts: &[&'a Part], before: &str, variables: &Variables<'a>, within: &[&str], tell: Tell<'_>) -> Flow {
        let Some((first, rest)) = parts.split_first() else {
            return tell(self, before.to_owned());
        };
        if matches!(first, Part::Choices { one_at_a_time: true, .. }) {
            let mut texts = Vec::new();
            let _ = self.each(first, variables, within, &mut |_, text| {
                texts.push(text);
                if texts.len() < MOST_IN_TURN {
                    Flow::Continue(())
                } else {
                    Flow::Break(())
                }
            });
            if self.error.is_some() || texts.is_empty() {
                return if self.error.is_some() {
                    Flow::Break(())
                } else {
                    Flow::Continue(())
                };
            }
            let mut turn = 0;
            return self.joined(rest, "", variables, within, &mut |search, behind| {
                turn += 1;
                tell(search, format!("{before}{}{behind}", texts[(turn - 1) % texts.len()]))
            });
        }
        self.each(first, variables, within, &mut |search, text| {
            search.joined(rest, &format!("{before}{text}"), variables, within, tell)
        })
    }

    /// Tells every ordered selection of `n` different choices, no text of which repeats.
    #[expect(clippy::too_many_arguments, reason = "one step of a recursion that carries its surroundings")]
    fn combinations<'a>(
        &mut self,
        choices: &'a [Choice],
        n: usize,
        taken: &mut Vec<usize>,
        variables: &Variables<'a>,
        within: &[&str],
        separator: &str,
        seen: &mut HashSet<Vec<String>>,
        tell: Tell<'_>,
    ) -> Flow {
        if n == 0 {
            let parts: Vec<&Part> = taken.iter().map(|at| &choices[*at].value).collect();
            return self.texts(&parts, &mut Vec::new(), variables, within, separator, seen, tell);
        }
        for at in 0..choices.len() {
            if taken.iter().any(|other| choices[*other].value == choices[at].value) {
                continue;
            }
            taken.push(at);
            let flow = self.combinations(choices, n - 1, taken, variables, within, separator, seen, tell);
            taken.pop();
            flow?;
        }
        Flow::Continue(())
    }

    #[expect(clippy::too_many_arguments, reason = "one step of a recursion that carries its surroundings")]
    fn texts<'a>(
        &mut self,
        parts: &[&'a Part],
        texts: &mut Vec<String>,
        variables: &Variables<'a>,
        within: &[&str],
        separator: &str,
        seen: &mut HashSet<Vec<String>>,
        tell: Tell<'_>,
    ) -> Flow {
        let Some((first, rest)) = parts.split_first() else {
            let distinct: HashSet<&String> = texts.iter().collect();
            if distinct.len() < texts.len() || !seen.insert(texts.clone()) {
                return Flow::Continue(());
            }
            return tell(self, super::random::joined(texts, separator));
        };
        self.each(first, variables, within, &mut |search, text| {
            texts.push(text);
            let flow = search.texts(rest, texts, variables, within, separator, seen, tell);
            texts.pop();
            flow
        })
    }
}
