//! Texts.

mod replace;

use fancy_regex::{Regex, escape};
use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};

use self::replace::replace_all;
use super::{Invoke, NodeCx, NodeEntry, NodeError, entry, outputs::StringOutput};

pub(super) const NODES: &[NodeEntry] = &[
    entry::<StringJoin>(),
    entry::<StringJoinThree>(),
    entry::<StringReplace>(),
    entry::<StringSplit>(),
    entry::<StringSplitNeg>(),
];

/// Two texts.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "string_2_output")]
struct String2Output {
    string_1: String,
    string_2: String,
}

/// A prompt and what to avoid.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "string_pos_neg_output")]
struct StringPosNegOutput {
    positive_string: String,
    negative_string: String,
}

/// Two texts behind each other.
#[derive(Debug, Deserialize, Node)]
#[node(id = "string_join", title = "String Join", version = "1.0.1", category = "strings", tags("string", "join"), output = StringOutput)]
struct StringJoin {
    #[field(default = "", component = "textarea")]
    string_left: String,
    #[field(default = "", component = "textarea")]
    string_right: String,
}

impl Invoke for StringJoin {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<StringOutput, NodeError> {
        Ok((self.string_left + &self.string_right).into())
    }
}

/// Three texts behind each other.
#[derive(Debug, Deserialize, Node)]
#[node(id = "string_join_three", title = "String Join Three", version = "1.0.1", category = "strings", tags("string", "join"), output = StringOutput)]
struct StringJoinThree {
    #[field(default = "", component = "textarea")]
    string_left: String,
    #[field(default = "", component = "textarea")]
    string_middle: String,
    #[field(default = "", component = "textarea")]
    string_right: String,
}

impl Invoke for StringJoinThree {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<StringOutput, NodeError> {
        Ok((self.string_left + &self.string_middle + &self.string_right).into())
    }
}

/// Replaces every match, of a text in any case or of a pattern.
#[derive(Debug, Deserialize, Node)]
#[node(id = "string_replace", title = "String Replace", version = "1.0.1", category = "strings", tags("string", "replace", "regex"), output = StringOutput)]
struct StringReplace {
    #[field(default = "", component = "textarea")]
    string: String,
    #[field(default = "", component = "textarea")]
    search_string: String,
    #[field(default = "", component = "textarea")]
    replace_string: String,
    #[field(default = false)]
    use_regex: bool,
}

impl Invoke for StringReplace {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<StringOutput, NodeError> {
        if self.search_string.is_empty() {
            return Ok(self.string.into());
        }
        let pattern = if self.use_regex {
            self.search_string
        } else {
            format!("(?i){}", escape(&self.search_string))
        };
        let pattern = Regex::new(&pattern).map_err(|error| NodeError::new("PatternError", error.to_string()))?;
        replace_all(&pattern, &self.string, &self.replace_string).map(Into::into)
    }
}

/// What stands before and behind the first delimiter.
#[derive(Debug, Deserialize, Node)]
#[node(id = "string_split", title = "String Split", version = "1.0.1", category = "strings", tags("string", "split"), output = String2Output)]
struct StringSplit {
    #[field(default = "", component = "textarea")]
    string: String,
    #[field(default = "")]
    delimiter: String,
}

impl Invoke for StringSplit {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<String2Output, NodeError> {
        if self.delimiter.is_empty() {
            return Err(NodeError::value("empty separator"));
        }
        let (first, second) = self.string.split_once(&self.delimiter).unwrap_or((&self.string, ""));
        Ok(String2Output {
            string_1: first.to_owned(),
            string_2: second.to_owned(),
        })
    }
}

/// What stands outside and inside of square brackets.
#[derive(Debug, Deserialize, Node)]
#[node(id = "string_split_neg", title = "String Split Negative", version = "1.0.1", category = "strings", tags("string", "split", "negative"), output = StringPosNegOutput)]
struct StringSplitNeg {
    #[field(default = "", component = "textarea")]
    string: String,
}

impl Invoke for StringSplitNeg {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<StringPosNegOutput, NodeError> {
        Ok(split_negative(&self.string))
    }
}

/// Text outside of square brackets, and text inside; brackets nest, a backslash keeps one as it is.
fn split_negative(text: &str) -> StringPosNegOutput {
    let (mut positive_string, mut negative_string) = (String::new(), String::new());
    let (mut depth, mut escaped) = (0_i64, false);
    for c in text.chars() {
        match c {
            '[' if !escaped => {
                negative_string.push(' ');
                depth += 1;
            }
            ']' if !escaped => depth -= 1,
            c if depth > 0 => negative_string.push(c),
            c => positive_string.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    StringPosNegOutput {
        positive_string,
        negative_string,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::nodes::testing::run;

    #[test]
    fn joined_and_split() {
        assert_eq!(
            run("string_join", json!({"string_left": "a", "string_right": "b"})).unwrap()["value"],
            "ab"
        );
        let three = json!({"string_left": "a", "string_middle": "-", "string_right": "b"});
        assert_eq!(run("string_join_three", three).unwrap()["value"], "a-b");
        let split = run("string_split", json!({"string": "a,b,c", "delimiter": ","})).unwrap();
        assert_eq!(split, json!({"string_1": "a", "string_2": "b,c", "type": "string_2_output"}));
        assert_eq!(
            run("string_split", json!({"string": "abc", "delimiter": ","})).unwrap()["string_2"],
            ""
        );
        assert!(run("string_split", json!({"string": "abc"})).is_err());
        let split = run("string_split_neg", json!({"string": "a [ugly [x]] b \\[c\\]"})).unwrap();
        assert_eq!(
            split,
            json!({"positive_string": "a  b \\[c\\]", "negative_string": " ugly  x", "type": "string_pos_neg_output"})
        );
    }

    #[test]
    fn replaced() {
        let table = [
            ("Hello world", "WORLD", "there", false, "Hello there"),
            ("a.b.c", ".", "-", false, "a-b-c"),
            ("abc", "", "x", false, "abc"),
            ("2024-05", r"(\d+)-(\d+)", r"\2/\1", true, "05/2024"),
            ("ab", "(?P<x>a)", r"\g<x>\g<1>!", true, "aa!b"),
            ("ab", "b", r"\n$1", false, "a\n$1"),
            ("foobar", "foo(?=bar)", "x", true, "xbar"),
        ];
        for (string, search, replace, use_regex, expected) in table {
            let inputs = json!({"string": string, "search_string": search, "replace_string": replace, "use_regex": use_regex});
            assert_eq!(
                run("string_replace", inputs).unwrap()["value"],
                expected,
                "{string} {search} {replace}"
            );
        }
        assert!(run("string_replace", json!({"string": "a", "search_string": "(", "use_regex": true})).is_err());
        assert!(
            run(
                "string_replace",
                json!({"string": "a", "search_string": "a", "replace_string": r"\1"})
            )
            .is_err()
        );
    }
}
