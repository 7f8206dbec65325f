//! How long the texts may be that stand in other people's lists, or in one's own again and again.

use super::{Error, Result};

/// Characters of the name under which others see somebody.
pub const DISPLAY_NAME: usize = 1_000;
/// Characters of the name of something that is kept, and of a key that something is kept under.
pub const NAME: usize = 1_000;
/// Characters of what is said about something, or of a prompt.
pub const TEXT: usize = 100_000;

/// Refuses a text that is longer than so many characters.
///
/// # Errors
/// [`Error::BadRequest`], which names the field and the limit.
pub fn at_most(field: &str, text: &str, characters: usize) -> Result<()> {
    // A text has no more characters than bytes.
    if text.len() > characters && text.chars().count() > characters {
        return Err(Error::BadRequest(format!("{field}: expected at most {characters} characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted() {
        assert!(at_most("name", &"日".repeat(10), 10).is_ok());
        let told = at_most("name", &"x".repeat(11), 10).unwrap_err().to_string();
        assert_eq!(told, "name: expected at most 10 characters");
    }
}
