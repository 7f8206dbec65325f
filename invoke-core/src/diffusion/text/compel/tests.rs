//! Parses recorded from compel 2.5.1.

use super::*;

#[test]
fn recorded_parses() {
    let recorded: Vec<(String, String)> = serde_json::from_str(include_str!("recorded_parses.json")).unwrap();
    assert!(recorded.len() > 60);
    for (prompt, expected) in recorded {
        let found = match Prompt::parse(&prompt) {
            Ok(parsed) => describe(&parsed),
            Err(_) => "error".into(),
        };
        assert_eq!(found, expected, "{prompt}");
    }
}

fn describe(prompt: &Prompt) -> String {
    let fragments = |list: &[Fragment]| {
        let texts: Vec<String> = list.iter().map(|f| format!("{}@{:.6}", f.text, f.weight)).collect();
        texts.join("|")
    };
    let parts: Vec<String> = prompt
        .parts
        .iter()
        .zip(&prompt.weights)
        .map(|(part, weight)| match part {
            Part::Text(list) => format!("[{}]*{weight:.6}", fragments(list)),
            Part::Blend {
                prompts,
                weights,
                normalize,
            } => {
                let prompts: Vec<String> = prompts
                    .iter()
                    .zip(weights)
                    .map(|(list, weight)| format!("{}%{weight:.6}", fragments(list)))
                    .collect();
                format!("blend({}){}*{weight:.6}", prompts.join(" / "), if *normalize { "" } else { "!" })
            }
        })
        .collect();
    parts.join(" & ")
}

#[test]
fn nesting_costs_no_more_than_its_length() {
    let deep = format!("{}x{}", "(".repeat(5000), ")1.1".repeat(5000));
    assert_eq!(Prompt::parse(&deep).unwrap().parts.len(), 1);
    let quotes = "\"a (b)+ ".repeat(2000);
    assert_eq!(Prompt::parse(&quotes).unwrap().parts.len(), 1);
    let open = "((a)- ".repeat(2000);
    assert_eq!(Prompt::parse(&open).unwrap().parts.len(), 1);
}
