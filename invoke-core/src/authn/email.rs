//! E-mail addresses, which are login names here.
//!
//! The rules are those by which InvokeAI accepts and normalises an address, so that an account is found again under the name it was
//! made with: the domain loses its case, the local part keeps it unless it names a role, and domains that only exist in a private network
//! are let through, then all in lower case.

use std::{collections::BTreeSet, fmt};

use icu_properties::{CodePointMapData, props::GeneralCategory};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// Bytes that an address may have in all.
const MAX_ADDRESS: usize = 254;
/// Bytes that the domain may have in its ASCII form.
const MAX_DOMAIN: usize = 253;
/// Bytes that one label of the domain may have in its ASCII form.
const MAX_LABEL: usize = 63;
/// Local parts that mean the same whatever their case (RFC 2142).
const ROLES: &[&str] = &[
    "abuse",
    "ftp",
    "hostmaster",
    "info",
    "marketing",
    "news",
    "noc",
    "postmaster",
    "sales",
    "security",
    "support",
    "usenet",
    "uucp",
    "webmaster",
    "www",
];
/// Endings that are never found in the public DNS.
const PRIVATE_ENDINGS: &[&str] = &["arpa", "invalid", "local", "localhost", "onion", "test"];

/// A normalised address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

/// Why a text is no address. The text is the one that clients of InvokeAI know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EmailError(String);

impl Email {
    /// Checks and normalises an address. Nothing is looked up in the DNS.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        match normalise(text) {
            Ok(address) => Ok(Self(address)),
            Err(Fault::Syntax(reason)) => Err(EmailError(format!("Invalid email address: {reason}"))),
            Err(Fault::PrivateDomain) => private(text).map(Self),
        }
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

enum Fault {
    Syntax(String),
    /// Fine but for a domain that is not a public one.
    PrivateDomain,
}

fn syntax<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Syntax(reason.into()))
}

/// An address in a private network: all in lower case.
fn private(text: &str) -> Result<String, EmailError> {
    let address = text.trim().to_lowercase();
    let Some((local, domain)) = address.rsplit_once('@') else {
        return Err(EmailError("Email address must contain an @ symbol".into()));
    };
    if local.is_empty() || domain.is_empty() {
        return Err(EmailError("Email address must have both local and domain parts".into()));
    }
    if domain != "localhost" && !domain.contains('.') {
        return Err(EmailError("Email domain must contain a dot or be 'localhost'".into()));
    }
    Ok(address)
}

fn normalise(text: &str) -> Result<String, Fault> {
    let (local, domain) = split(text)?;
    let local = normal_local(local)?;
    let domain = normal_domain(domain)?;
    let address = format!("{local}@{domain}");
    if address.len() > MAX_ADDRESS {
        return syntax(format!(
            "The email address is too long ({} too many).",
            characters(address.len() - MAX_ADDRESS)
        ));
    }
    Ok(address)
}

fn characters(n: usize) -> String {
    if n == 1 { "1 character".into() } else { format!("{n} characters") }
}

fn split(text: &str) -> Result<(&str, &str), Fault> {
    if text.starts_with('"') {
        return syntax("Quoting the part before the @-sign is not allowed here.");
    }
    let Some((local, domain)) = text.split_once('@').filter(|(local, _)| !local.contains('"')) else {
        if text.contains('\u{ff20}') {
            return syntax("The email address has the \"full-width\" at-sign (@) character instead of a regular at-sign.");
        }
        if text.contains('\u{fe6b}') {
            return syntax("The email address has the \"small commercial at\" character instead of a regular at-sign.");
        }
        return syntax("An email address must have an @-sign.");
    };
    if local.contains('<') && domain.ends_with('>') {
        return syntax("A display name and angle brackets around the email address are not permitted here.");
    }
    if local.is_empty() {
        return syntax("There must be something before the @-sign.");
    }
    if domain.is_empty() {
        return syntax("There must be something after the @-sign.");
    }
    Ok((local, domain))
}

fn normal_local(local: &str) -> Result<String, Fault> {
    let allowed = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "_!#$%&'*+-/=?^`{|}~.".contains(c);
    if let Some(list) = listed(local.chars().filter(|&c| !allowed(c))) {
        return syntax(format!("The email address contains invalid characters before the @-sign: {list}."));
    }
    let local = icu_normalizer::ComposingNormalizerBorrowed::new_nfc().normalize(local).into_owned();
    refuse_unsafe(&local)?;
    dots(&local, "immediately before the @-sign", "An email address cannot start with a")?;
    if local.is_ascii() && ROLES.contains(&local.to_ascii_lowercase().as_str()) {
        return Ok(local.to_ascii_lowercase());
    }
    Ok(local)
}

fn normal_domain(domain: &str) -> Result<String, Fault> {
    if domain.starts_with('[') && domain.ends_with(']') {
        return syntax("A bracketed IP address after the @-sign is not allowed here.");
    }
    let allowed = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if let Some(list) = listed(domain.chars().filter(|&c| !allowed(c))) {
        return syntax(format!("The part after the @-sign contains invalid characters: {list}."));
    }
    refuse_unsafe(domain)?;
    let idna = Uts46::new();
    let not_idna = || Fault::Syntax("The part after the @-sign is not valid IDNA.".into());
    // Mapped first: a full-width letter or an ideographic full stop stands for the plain one.
    let (mapped, mapping) = idna.to_unicode(domain.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow);
    let mapped = mapped.into_owned();
    if let Some(list) = listed(mapped.chars().filter(|&c| !allowed(c))) {
        return syntax(format!("The part after the @-sign contains invalid characters: {list}."));
    }
    domain_shape(&mapped)?;
    mapping.map_err(|_| not_idna())?;
    let ascii = idna
        .to_ascii(mapped.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore)
        .map_err(|_| not_idna())?;
    if let Some(bad) = mapped.char_indices().find(|&(at, c)| !permitted_in_label(&mapped, at, c)) {
        let code = u32::from(bad.1);
        return syntax(format!(
            "The part after the @-sign is invalid (Codepoint U+{code:04X} not allowed)."
        ));
    }
    if ascii.len() > MAX_DOMAIN {
        return syntax(format!(
            "The email address is too long after the @-sign ({} too many).",
            characters(ascii.len() - MAX_DOMAIN)
        ));
    }
    if let Some(label) = ascii.split('.').find(|label| label.len() > MAX_LABEL) {
        let over = characters(label.len() - MAX_LABEL);
        return syntax(format!(
            "After the @-sign, periods cannot be separated by so many characters ({over} too many)."
        ));
    }
    if !ascii.contains('.') {
        return Err(Fault::PrivateDomain);
    }
    if !ascii.ends_with(|c: char| c.is_ascii_alphabetic()) && !ascii.rsplit('.').next().is_some_and(|top| top.starts_with("xn--")) {
        return syntax("The part after the @-sign is not valid. It is not within a valid top-level domain.");
    }
    if ascii.rsplit('.').next().is_some_and(|top| PRIVATE_ENDINGS.contains(&top)) {
        return Err(Fault::PrivateDomain);
    }
    Ok(mapped)
}

fn domain_shape(domain: &str) -> Result<(), Fault> {
    if domain.ends_with('.') {
        return syntax("An email address cannot end with a period.");
    }
    if domain.starts_with('.') {
        return syntax("An email address cannot have a period immediately after the @-sign.");
    }
    if domain.contains("..") {
        return syntax("An email address cannot have two periods in a row.");
    }
    if domain.ends_with('-') {
        return syntax("An email address cannot end with a hyphen.");
    }
    if domain.starts_with('-') {
        return syntax("An email address cannot have a hyphen immediately after the @-sign.");
    }
    if domain.contains(".-") || domain.contains("-.") {
        return syntax("An email address cannot have a period and a hyphen next to each other.");
    }
    let dashed = |label: &str| label.is_ascii() && label.get(2..4) == Some("--") && !label.to_ascii_lowercase().starts_with("xn");
    if domain.split('.').any(dashed) {
        return syntax(
            "An email address cannot have two letters followed by two dashes immediately after the @-sign or after a period, except Punycode.",
        );
    }
    Ok(())
}

fn dots(part: &str, at_end: &str, at_start: &str) -> Result<(), Fault> {
    if part.ends_with('.') {
        return syntax(format!("An email address cannot have a period {at_end}."));
    }
    if part.starts_with('.') {
        return syntax(format!("{at_start} period."));
    }
    if part.contains("..") {
        return syntax("An email address cannot have two periods in a row.");
    }
    Ok(())
}

/// Letters, marks and digits, and the few others that IDNA 2008 lets stand between certain neighbours.
fn permitted_in_label(domain: &str, at: usize, c: char) -> bool {
    use GeneralCategory as G;
    if c.is_ascii() {
        return true;
    }
    let (before, after) = (domain[..at].chars().next_back(), domain[at + c.len_utf8()..].chars().next());
    match c {
        '\u{b7}' => before == Some('l') && after == Some('l'),
        '\u{375}' => after.is_some_and(|next| ('\u{370}'..='\u{3ff}').contains(&next)),
        '\u{5f3}' | '\u{5f4}' => before.is_some_and(|previous| ('\u{590}'..='\u{5ff}').contains(&previous)),
        '\u{30fb}' => domain
            .chars()
            .any(|c| matches!(c, '\u{3041}'..='\u{30fa}' | '\u{4e00}'..='\u{9fff}')),
        _ => matches!(
            category(c),
            G::LowercaseLetter | G::OtherLetter | G::ModifierLetter | G::NonspacingMark | G::SpacingMark | G::DecimalNumber
        ),
    }
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

/// Refuses what a reader cannot see or may mistake: controls, formats, spaces, unassigned, and a mark with nothing before it.
fn refuse_unsafe(part: &str) -> Result<(), Fault> {
    use GeneralCategory as G;
    let bad = part.char_indices().filter(|&(at, c)| match category(c) {
        G::NonspacingMark | G::SpacingMark | G::EnclosingMark => at == 0,
        G::SpaceSeparator
        | G::LineSeparator
        | G::ParagraphSeparator
        | G::Control
        | G::Format
        | G::Surrogate
        | G::PrivateUse
        | G::Unassigned => true,
        _ => false,
    });
    match listed(bad.map(|(_, c)| c)) {
        Some(list) => syntax(format!("The email address contains unsafe characters: {list}.")),
        None => Ok(()),
    }
}

/// Distinct characters in the order of their codes, each so that it can be read; `None` if there are none.
fn listed(characters: impl Iterator<Item = char>) -> Option<String> {
    let shown = |c: char| match c {
        ' ' => "SPACE".to_owned(),
        '\\' => "\"\\\"".to_owned(),
        '\'' => "\"'\"".to_owned(),
        c if c.is_alphanumeric() || c.is_ascii_punctuation() => format!("'{c}'"),
        c => format!("U+{:04X}", u32::from(c)),
    };
    let distinct: BTreeSet<char> = characters.collect();
    let list: Vec<String> = distinct.into_iter().map(shown).collect();
    (!list.is_empty()).then(|| list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> String {
        Email::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}")).0
    }

    fn bad(text: &str) -> String {
        match Email::parse(text) {
            Ok(address) => panic!("{text:?} became {address}"),
            Err(EmailError(reason)) => reason
                .strip_prefix("Invalid email address: ")
                .map_or_else(|| format!("! {reason}"), str::to_owned),
        }
    }

    /// Pairs observed on InvokeAI 6.14.2.
    #[test]
    fn addresses_are_normalised_as_invokeai_does() {
        for (text, normal) in [
            ("User@Example.COM", "User@example.com"),
            ("Carol@Example.COM", "Carol@example.com"),
            ("Admin@Localhost", "admin@localhost"),
            ("a@x.local", "a@x.local"),
            ("Dave@Host.LOCAL", "dave@host.local"),
            ("a@foo.localhost", "a@foo.localhost"),
            ("A@foo.invalid", "a@foo.invalid"),
            ("info@Example.com", "info@example.com"),
            ("Postmaster@x.com", "postmaster@x.com"),
            ("INFO@x.com", "info@x.com"),
            ("ADMIN@x.com", "ADMIN@x.com"),
            ("NoReply@example.com", "NoReply@example.com"),
            ("a@b.c", "a@b.c"),
            ("üser@bücher.de", "üser@bücher.de"),
            ("a@xn--bcher-kva.de", "a@bücher.de"),
            ("a@пример.рф", "a@пример.рф"),
            ("e\u{301}@example.com", "é@example.com"),
            ("a@b\u{3002}com", "a@b.com"),
            ("a@x.\u{ff43}om", "a@x.com"),
            ("a@\u{fb00}.com", "a@ff.com"),
            ("a@ÅB.com", "a@åb.com"),
            ("a@ß.de", "a@ß.de"),
            ("a@l\u{b7}l.com", "a@l\u{b7}l.com"),
            ("a@שלום.com", "a@שלום.com"),
            ("a'b+c@x.com", "a'b+c@x.com"),
            ("-a@x.com", "-a@x.com"),
            ("☺@x.com", "☺@x.com"),
            ("a@x.1y", "a@x.1y"),
            ("a@foo.example", "a@foo.example"),
            ("A@localhost.localdomain", "A@localhost.localdomain"),
        ] {
            assert_eq!(good(text), normal, "{text:?}");
        }
        assert_eq!(good(&format!("{}@example.com", "x".repeat(200))).len(), 212);
    }

    /// Pairs observed on InvokeAI 6.14.2; `!` marks a text without its usual prefix.
    #[test]
    fn malformed_addresses_are_refused_in_invokeais_words() {
        for (text, reason) in [
            ("", "An email address must have an @-sign."),
            ("nobody", "An email address must have an @-sign."),
            (
                "a b@example.com",
                "The email address contains invalid characters before the @-sign: SPACE.",
            ),
            (
                "  a@b.com",
                "The email address contains invalid characters before the @-sign: SPACE.",
            ),
            ("@example.com", "There must be something before the @-sign."),
            ("a@", "There must be something after the @-sign."),
            ("a@server", "! Email domain must contain a dot or be 'localhost'"),
            ("a@ex_ample.com", "The part after the @-sign contains invalid characters: '_'."),
            ("a..b@example.com", "An email address cannot have two periods in a row."),
            (".a@example.com", "An email address cannot start with a period."),
            (
                "a.@example.com",
                "An email address cannot have a period immediately before the @-sign.",
            ),
            ("a@-ex.com", "An email address cannot have a hyphen immediately after the @-sign."),
            (
                "a@ex-.com",
                "An email address cannot have a period and a hyphen next to each other.",
            ),
            ("a@.com", "An email address cannot have a period immediately after the @-sign."),
            ("a@com.", "An email address cannot end with a period."),
            ("a@-", "An email address cannot end with a hyphen."),
            (
                "a@b.123",
                "The part after the @-sign is not valid. It is not within a valid top-level domain.",
            ),
            ("\"q\"@example.com", "Quoting the part before the @-sign is not allowed here."),
            ("a\"b@c.com", "An email address must have an @-sign."),
            ("a@[127.0.0.1]", "A bracketed IP address after the @-sign is not allowed here."),
            (
                "Name <a@b.com>",
                "A display name and angle brackets around the email address are not permitted here.",
            ),
            ("a@b@c.com", "The part after the @-sign contains invalid characters: '@'."),
            (
                "a;;,b@c.com",
                "The email address contains invalid characters before the @-sign: ',', ';'.",
            ),
            (
                "a\u{0}@b.com",
                "The email address contains invalid characters before the @-sign: U+0000.",
            ),
            (
                "a\\b@x.com",
                "The email address contains invalid characters before the @-sign: \"\\\".",
            ),
            ("a@b.com\n", "The part after the @-sign contains invalid characters: U+000A."),
            (
                "a@ab--cd.com",
                "An email address cannot have two letters followed by two dashes immediately after the @-sign or after a period, except Punycode.",
            ),
            (
                "a\u{ff20}x.com",
                "The email address has the \"full-width\" at-sign (@) character instead of a regular at-sign.",
            ),
            ("a\u{e000}b@c.com", "The email address contains unsafe characters: U+E000."),
        ] {
            assert_eq!(bad(text), reason, "{text:?}");
        }
        for text in [
            "a@☺.com",
            "a@☃.net",
            "a@a\u{b7}b.com",
            "a@xn--a.com",
            "a@1שלום.com",
            "a@a\u{200d}b.com",
            "\u{202e}a@b.com",
            "\u{301}a@x.com",
        ] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(
            bad(&format!("a@{}.com", "b".repeat(64))),
            "After the @-sign, periods cannot be separated by so many characters (1 character too many)."
        );
        assert_eq!(
            bad(&format!("{}@example.com", "x".repeat(243))),
            "The email address is too long (1 character too many)."
        );
    }
}
