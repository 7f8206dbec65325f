//! The process's environment variables, read once.

/// What begins the name of a variable that sets a key.
const PREFIX: &str = "INVOKEAI_";

/// A copy of the environment variables. Tests make their own.
#[derive(Debug, Clone, Default)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// The process's variables; those that are no Unicode are left out.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        )
    }

    /// These variables and no others.
    pub fn of<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// A variable by its exact name; an empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, value)| n == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// `(variable, key, text)` of every non-empty `INVOKEAI_<KEY>`; the case of the name does not matter.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.0.iter().filter_map(|(name, value)| {
            let prefix = name.get(..PREFIX.len())?;
            let named = prefix.eq_ignore_ascii_case(PREFIX) && !value.is_empty();
            named.then(|| (name.as_str(), name[PREFIX.len()..].to_ascii_lowercase(), value.as_str()))
        })
    }
}
