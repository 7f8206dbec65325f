//! Derives for node definitions.
