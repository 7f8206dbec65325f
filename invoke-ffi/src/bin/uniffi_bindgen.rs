//! Writes the bindings of the library for other languages.

fn main() {
    uniffi::uniffi_bindgen_main();
}
