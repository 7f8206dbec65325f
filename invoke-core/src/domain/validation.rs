//! Validation issues in the shape that request errors have on the wire.
