//! Prompts from templates, files and presets.

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};

use super::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::StylePresetField, outputs::StringCollectionOutput};
use crate::prompts::dynamic::{self, TemplateError};

pub(super) const NODES: &[NodeEntry] = &[entry::<DynamicPrompt>(), entry::<PromptsFromFile>(), entry::<PromptTemplate>()];

/// Most prompts of one node; each may become a run of many nodes.
const MOST: usize = 100_000;

/// Prompts put into a preset.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "prompt_template_output")]
struct PromptTemplateOutput {
    positive_prompt: String,
    negative_prompt: String,
}

/// The prompts that a template stands for.
#[derive(Debug, Deserialize, Node)]
#[node(id = "dynamic_prompt", title = "Dynamic Prompt", version = "1.0.1", category = "prompt", tags("prompt", "collection"), cache = false, output = StringCollectionOutput)]
struct DynamicPrompt {
    #[field(component = "textarea")]
    prompt: String,
    #[field(default = 1)]
    max_prompts: i64,
    #[field(default = false)]
    combinatorial: bool,
}

impl Invoke for DynamicPrompt {
    fn invoke(self, cx: &dyn NodeCx) -> Result<StringCollectionOutput, NodeError> {
        let most = usize::try_from(self.max_prompts).unwrap_or(0).min(MOST);
        let prompts = if self.combinatorial {
            dynamic::all(&self.prompt, most)
        } else {
            dynamic::random(&self.prompt, most, &mut || f64::from(cx.random_u32()) / (f64::from(u32::MAX) + 1.0))
        };
        prompts.map(Into::into).map_err(|error| match error {
            TemplateError::Parse(error) => NodeError::new("ParseException", error.to_string()),
            other => NodeError::value(other.to_string()),
        })
    }
}

/// Prompts of a text file of the server, one a line.
#[derive(Debug, Deserialize, Node)]
#[node(id = "prompt_from_file", title = "Prompts from File", version = "1.0.2", category = "prompt", tags("prompt", "file"), output = StringCollectionOutput)]
struct PromptsFromFile {
    file_path: String,
    #[field(component = "textarea")]
    pre_prompt: Option<String>,
    #[field(component = "textarea")]
    post_prompt: Option<String>,
    #[field(default = 1, ge = 1)]
    start_line: i64,
    #[field(default = 1, ge = 0)]
    max_prompts: i64,
}

impl Invoke for PromptsFromFile {
    fn invoke(self, cx: &dyn NodeCx) -> Result<StringCollectionOutput, NodeError> {
        let text = cx.text_file(&self.file_path)?;
        let (before, behind) = (self.pre_prompt.unwrap_or_default(), self.post_prompt.unwrap_or_default());
        let first = usize::try_from(self.start_line).unwrap_or(1).saturating_sub(1);
        let most = usize::try_from(self.max_prompts)
            .ok()
            .filter(|most| *most > 0)
            .unwrap_or(MOST)
            .min(MOST);
        let lines = text
            .lines()
            .skip(first)
            .take(most)
            .map(|line| format!("{before}{}{behind}", line.trim()));
        Ok(lines.collect::<Vec<_>>().into())
    }
}

/// Prompts put into a style preset.
#[derive(Debug, Deserialize, Node)]
#[node(id = "prompt_template", title = "Prompt Template", version = "1.0.0", category = "prompt", tags("prompt", "template", "style", "preset"), output = PromptTemplateOutput)]
struct PromptTemplate {
    style_preset: StylePresetField,
    #[field(default = "", component = "textarea")]
    positive_prompt: String,
    #[field(default = "", component = "textarea")]
    negative_prompt: String,
}

impl Invoke for PromptTemplate {
    fn invoke(self, cx: &dyn NodeCx) -> Result<PromptTemplateOutput, NodeError> {
        let id = &self.style_preset.style_preset_id;
        let (positive, negative) = cx
            .style_preset(id)?
            .ok_or_else(|| NodeError::new("StylePresetNotFoundError", format!("there is no style preset {id}")))?;
        Ok(PromptTemplateOutput {
            positive_prompt: positive.replace("{prompt}", &self.positive_prompt),
            negative_prompt: negative.replace("{prompt}", &self.negative_prompt),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::nodes::testing::{TestCx, run, run_in};

    #[test]
    fn templates() {
        let inputs = json!({"prompt": "a {red|blue} cat", "max_prompts": 5, "combinatorial": true});
        assert_eq!(
            run("dynamic_prompt", inputs).unwrap()["collection"],
            json!(["a red cat", "a blue cat"])
        );
        assert_eq!(
            run("dynamic_prompt", json!({"prompt": "{a|a}", "max_prompts": 2})).unwrap()["collection"],
            json!(["a", "a"])
        );
        let error = run("dynamic_prompt", json!({"prompt": "a {", "combinatorial": true})).unwrap_err();
        assert!(error.to_string().starts_with("ParseException: Expected end of text"), "{error}");
    }

    #[test]
    fn lines_of_a_file() {
        let cx = TestCx {
            text: Some("one\n two \nthree\n".into()),
            ..TestCx::default()
        };
        let inputs = json!({"file_path": "p.txt", "pre_prompt": "<", "post_prompt": ">", "start_line": 2, "max_prompts": 0});
        assert_eq!(
            run_in(&cx, "prompt_from_file", inputs).unwrap()["collection"],
            json!(["<two>", "<three>"])
        );
        assert_eq!(
            run_in(&cx, "prompt_from_file", json!({"file_path": "p.txt"})).unwrap()["collection"],
            json!(["one"])
        );
        assert!(run("prompt_from_file", json!({"file_path": "p.txt"})).is_err());
    }

    #[test]
    fn presets() {
        let cx = TestCx {
            preset: Some(("photo of {prompt}".into(), "{prompt}, bad".into())),
            ..TestCx::default()
        };
        let inputs = json!({"style_preset": {"style_preset_id": "p"}, "positive_prompt": "cat", "negative_prompt": "dog"});
        let output = run_in(&cx, "prompt_template", inputs.clone()).unwrap();
        assert_eq!(
            (&output["positive_prompt"], &output["negative_prompt"]),
            (&json!("photo of cat"), &json!("dog, bad"))
        );
        assert!(run("prompt_template", inputs).is_err());
    }
}
