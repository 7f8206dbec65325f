//! What makes a password acceptable.

use std::{collections::HashSet, fmt, sync::LazyLock};

use icu_properties::{CodePointMapData, props::GeneralCategory};

/// Characters that a strict password has at least.
const SHORTEST: usize = 8;

/// Passwords that everybody tries first, in lower case, one a line.
static COMMON: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("common.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
});

/// Which rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Anything but nothing.
    Lenient,
    /// Length, letters of both cases and a digit; nothing that everybody uses.
    Strict,
}

impl Strictness {
    /// From the configuration's `strict_password_checking`.
    pub fn of(strict: bool) -> Self {
        if strict { Self::Strict } else { Self::Lenient }
    }
}

/// A rule that a password breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// It has no character at all.
    Empty,
    /// It has fewer than 8 characters.
    TooShort,
    /// It has no upper-case letter.
    NoUpperCase,
    /// It has no lower-case letter.
    NoLowerCase,
    /// It has no digit.
    NoDigit,
    /// It is one of those that everybody uses.
    TooCommon,
    /// It has a NUL character.
    Nul,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "at least one character",
            Self::TooShort => "at least 8 characters",
            Self::NoUpperCase => "an upper-case letter",
            Self::NoLowerCase => "a lower-case letter",
            Self::NoDigit => "a digit",
            Self::TooCommon => "to be less common",
            Self::Nul => "to be without NUL characters",
        })
    }
}

/// A password is not acceptable. Its text is the one that InvokeAI's clients know; [`WeakPassword::unmet`] says more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeakPassword {
    unmet: Vec<Unmet>,
}

impl WeakPassword {
    /// Every rule that it breaks.
    pub fn unmet(&self) -> &[Unmet] {
        &self.unmet
    }

    /// Every rule that it breaks, for people.
    pub fn explanation(&self) -> String {
        let rules: Vec<String> = self.unmet.iter().map(Unmet::to_string).collect();
        format!("The password needs {}.", rules.join(", "))
    }
}

impl fmt::Display for WeakPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken = |rule| self.unmet.contains(&rule);
        f.write_str(if broken(Unmet::TooShort) {
            "Password must be at least 8 characters long"
        } else if broken(Unmet::Empty) {
            "Password cannot be empty"
        } else if broken(Unmet::NoUpperCase) || broken(Unmet::NoLowerCase) || broken(Unmet::NoDigit) {
            "Password must contain uppercase, lowercase, and numbers"
        } else if broken(Unmet::Nul) {
            // InvokeAI hashes with bcrypt and says so; its clients know this text.
            "bcrypt does not allow NULL bytes in password"
        } else {
            "Password is among the most common ones; choose another"
        })
    }
}

impl std::error::Error for WeakPassword {}

/// Every rule that a password breaks.
pub fn unmet(password: &str, strictness: Strictness) -> Vec<Unmet> {
    let rules: &[(Unmet, bool)] = match strictness {
        Strictness::Lenient => &[(Unmet::Empty, password.is_empty())],
        Strictness::Strict => &[
            (Unmet::TooShort, password.chars().count() < SHORTEST),
            (Unmet::NoUpperCase, !password.chars().any(char::is_uppercase)),
            (Unmet::NoLowerCase, !password.chars().any(char::is_lowercase)),
            (Unmet::NoDigit, !password.chars().any(is_digit)),
            (Unmet::TooCommon, COMMON.contains(password.to_lowercase().as_str())),
        ],
    };
    let nul = (Unmet::Nul, password.contains('\0'));
    rules
        .iter()
        .copied()
        .chain([nul])
        .filter_map(|(rule, broken)| broken.then_some(rule))
        .collect()
}

/// Accepts a password, or says what it lacks.
pub fn check(password: &str, strictness: Strictness) -> Result<(), WeakPassword> {
    let unmet = unmet(password, strictness);
    if unmet.is_empty() { Ok(()) } else { Err(WeakPassword { unmet }) }
}

/// A digit of any script, raised and lowered ones included.
fn is_digit(c: char) -> bool {
    let raised = matches!(c, '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{2070}' | '\u{2074}'..='\u{2079}' | '\u{2080}'..='\u{2089}');
    c.is_ascii_digit() || raised || CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::DecimalNumber
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(password: &str, strictness: Strictness) -> String {
        check(password, strictness).map_or_else(|weak| weak.to_string(), |()| "ok".into())
    }

    #[test]
    fn g08_strict_passwords_and_the_words_for_weak_ones() {
        for (password, expected) in [
            ("", "Password must be at least 8 characters long"),
            ("Ab1", "Password must be at least 8 characters long"),
            ("Abcdef1", "Password must be at least 8 characters long"),
            ("alllower1", "Password must contain uppercase, lowercase, and numbers"),
            ("ALLUPPER1", "Password must contain uppercase, lowercase, and numbers"),
            ("NoDigitsHere", "Password must contain uppercase, lowercase, and numbers"),
            ("Str0ngPass", "ok"),
            ("Str0ng Päss wörd!", "ok"),
            ("ÄÖÜäöü٣٤", "ok"),
            ("Str0ngP\0ss", "bcrypt does not allow NULL bytes in password"),
        ] {
            assert_eq!(text(password, Strictness::Strict), expected, "{password:?}");
        }
    }

    #[test]
    fn g08_each_unmet_rule_is_named() {
        let weak = check("abc", Strictness::Strict).unwrap_err();
        assert_eq!(weak.unmet(), [Unmet::TooShort, Unmet::NoUpperCase, Unmet::NoDigit]);
        assert_eq!(
            weak.explanation(),
            "The password needs at least 8 characters, an upper-case letter, a digit."
        );
    }

    #[test]
    fn lenient_passwords_need_only_exist() {
        assert_eq!(text("", Strictness::Lenient), "Password cannot be empty");
        for password in ["x", "password", "1"] {
            assert_eq!(text(password, Strictness::Lenient), "ok");
        }
    }

    #[test]
    fn common_passwords_are_refused_whatever_their_case() {
        for password in ["Password1", "PASSWORd1", "Password123", "Qwerty123", "Welcome1"] {
            assert_eq!(
                text(password, Strictness::Strict),
                "Password is among the most common ones; choose another",
                "{password}"
            );
        }
        assert!(COMMON.len() > 300 && COMMON.iter().all(|password| *password == password.to_lowercase()));
    }

    #[test]
    fn passwords_that_the_contract_uses_stay_acceptable() {
        for password in [
            "Str0ngPass",
            "An0therPass",
            "Fresh1Pass",
            "Str0ngPäss",
            "Passw0rd-admin",
            "Passw0rd-alice",
        ] {
            assert_eq!(text(password, Strictness::Strict), "ok", "{password}");
        }
    }
}
