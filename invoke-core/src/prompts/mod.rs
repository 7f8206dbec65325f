//! Prompts before they are encoded: templates that stand for many prompts.

pub mod dynamic;
