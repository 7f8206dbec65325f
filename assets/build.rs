//! Packs the shipped model for the program, which that makes four megabytes smaller.
//!
//! Every file becomes one of `OUT_DIR`, see `src/packed.rs` for the form. `index.rs` names them.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::DeflateEncoder};

const MODEL: &str = "models/invoke-tiny";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={MODEL}");
    println!("cargo::rerun-if-changed=build.rs");
    let from = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join(MODEL);
    let to = PathBuf::from(variable("OUT_DIR"));
    let mut paths = Vec::new();
    files(&from, "", &mut paths)?;
    paths.sort_unstable();
    let mut index = String::from("&[\n");
    for (n, path) in paths.iter().enumerate() {
        let bytes = fs::read(from.join(path))?;
        let weights = Path::new(path).extension().is_some_and(|extension| extension == "safetensors");
        let step = if weights { 2 } else { 1 };
        // The low bytes of half-precision numbers are noise and stay as they are; their high bytes, sign and exponent, are not.
        let low: Vec<u8> = if weights {
            bytes.iter().copied().step_by(2).collect()
        } else {
            Vec::new()
        };
        let high: Vec<u8> = bytes.iter().copied().skip(step - 1).step_by(step).collect();
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::best());
        deflated.write_all(&high)?;
        fs::write(to.join(format!("{n}.low")), &low)?;
        fs::write(to.join(format!("{n}.high")), deflated.finish()?)?;
        writeln!(
            index,
            "    ModelFile {{ path: {path:?}, packed: Packed {{ low: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{n}.low\")), \
             high: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{n}.high\")) }} }},"
        )
        .map_err(io::Error::other)?;
    }
    index.push(']');
    fs::write(to.join("index.rs"), index)
}

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script by its variables where to work")]
fn variable(name: &str) -> String {
    env::var(name).expect("cargo sets it for every build script")
}

/// Paths of all files below a folder, with slashes.
fn files(folder: &Path, prefix: &str, found: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            files(&entry.path(), &format!("{name}/"), found)?;
        } else {
            found.push(name);
        }
    }
    Ok(())
}
