//! Files that torch made, by `tests/numerics/record_vision.py`, and files that nobody should open.

use std::io::Write;

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/numerics/vision").join(name)
}

fn floats(file: &TorchFile, name: &str) -> Vec<f32> {
    let tensor = &file.tensors()[name];
    let bytes = file.read(tensor).unwrap();
    match tensor.dtype {
        TorchType::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        TorchType::Bf16 => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_torch_saves_is_read_in_every_form() {
    for name in ["archive.pth", "before_1_6.pth"] {
        assert!(is_torch_file(&fixture(name)).unwrap());
        let file = TorchFile::open(&fixture(name)).unwrap();
        let names: Vec<&str> = file.tensors().keys().map(String::as_str).collect();
        assert_eq!(names, ["counted", "inner.turned", "inner.view", "plain"], "{name}");
        assert_eq!(file.tensors()["plain"].shape, [2, 3]);
        assert_eq!(floats(&file, "plain"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(floats(&file, "inner.turned"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(floats(&file, "inner.view"), [0.5, 1.5]);
        assert_eq!(
            (file.tensors()["counted"].dtype, file.tensors()["counted"].elements()),
            (TorchType::I64, 1)
        );
    }
}

/// Headers of some lengths begin as pickles do.
#[test]
fn safetensors_files_of_any_length_are_none_of_torch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    for length in [0x180_u64, 0x280, 0x580, 0x12_0480, 0x0403_4b50] {
        std::fs::write(&path, [&length.to_le_bytes()[..], b"{\"a\":"].concat()).unwrap();
        assert!(!is_torch_file(&path).unwrap(), "{length:#x}");
    }
    // What ends before it could be one of safetensors is a pickle.
    std::fs::write(&path, [0x80, 2, 0, 0, 0, 0, 0, 0]).unwrap();
    assert!(is_torch_file(&path).unwrap());
}

#[test]
fn the_tensors_of_torch_script_are_read_without_its_code() {
    let file = TorchFile::open(&fixture("script.pt")).unwrap();
    let names: Vec<&str> = file.tensors().keys().map(String::as_str).collect();
    assert_eq!(names, ["model.0.bias", "model.0.weight"]);
    assert_eq!(file.tensors()["model.0.weight"].shape, [2, 1, 1, 1]);
    assert_eq!(floats(&file, "model.0.bias"), [0.25, -2.0]);
}

/// An archive as torch would make it, with this pickle and one storage of eight floats.
fn archive_of(pickle: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut zip = zip::ZipWriter::new(file.reopen().unwrap());
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", &[0; 32])] {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    file
}

/// A pickle of a dictionary with one tensor, whose storage, offset, shape and strides are these.
fn one_tensor(class: &str, key: &str, elements: u8, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let tuple = |numbers: &[u8]| {
        let inner: Vec<u8> = numbers.iter().flat_map(|n| [b'K', *n]).collect();
        [&b"("[..], &inner, b"t"].concat()
    };
    [
        &b"\x80\x02}"[..],
        &text("w"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        format!("ctorch\n{class}\n").as_bytes(),
        &text(key),
        &text("cpu"),
        &[b'K', elements],
        b"tQ",
        &[b'K', offset],
        &tuple(shape),
        &tuple(strides),
        b"\x89NtRs.",
    ]
    .concat()
}

fn refused(pickle: &[u8]) -> String {
    TorchFile::open(archive_of(pickle).path()).unwrap_err().to_string()
}

#[test]
fn what_is_called_beside_tensors_is_refused_by_name() {
    for module in ["os\nsystem", "posix\nsystem", "builtins\neval", "torch.hub\nload"] {
        let pickle = [b"\x80\x02}X\x01\0\0\0wc", module.as_bytes(), b"\n(X\x05\0\0\0touchtRs."].concat();
        let text = refused(&pickle);
        assert!(text.contains(&module.replace('\n', ".")) && text.contains("convert it"), "{text}");
    }
    // A class that is named and not called does nothing.
    let mut harmless = one_tensor("FloatStorage", "0", 8, 0, &[8], &[1]);
    harmless.truncate(harmless.len() - 1);
    harmless.extend(b"X\x01\0\0\0xcos\nsystem\ns.");
    assert!(TorchFile::open(archive_of(&harmless).path()).is_ok());
}

#[test]
fn tensors_lie_within_their_storages() {
    let good = one_tensor("FloatStorage", "0", 8, 2, &[2, 3], &[3, 1]);
    let file = archive_of(&good);
    assert_eq!(TorchFile::open(file.path()).unwrap().tensors()["w"].shape, [2, 3]);
    let cases = [
        (one_tensor("FloatStorage", "0", 8, 3, &[2, 3], &[3, 1]), "reaches beyond"),
        (one_tensor("FloatStorage", "0", 8, 0, &[2, 3], &[200, 1]), "reaches beyond"),
        (one_tensor("FloatStorage", "0", 8, 0, &[255, 255], &[0, 0]), "needs more elements"),
        (one_tensor("FloatStorage", "0", 255, 0, &[1], &[1]), "beyond the end of the file"),
        (one_tensor("FloatStorage", "1", 8, 0, &[1], &[1]), "is not in the file"),
        (
            one_tensor("QInt8Storage", "0", 8, 0, &[1], &[1]),
            "`QInt8Storage` are not supported",
        ),
        (one_tensor("FloatStorage", "0", 8, 0, &[1; 9], &[1; 9]), "axes"),
        (one_tensor("FloatStorage", "0", 8, 0, &[1], &[1, 1]), "not understood"),
    ];
    for (pickle, expected) in cases {
        let text = refused(&pickle);
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn damaged_pickles_are_refused() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "ends too early"),
        (b"\x80\x02.", "takes a value"),
        (b"\x80\x09}.", "version 9"),
        (b"\x80\x02h\x01.", "did not make"),
        (b"\x80\x02}(X\x01\0\0\0au.", "key without a value"),
        (b"\x80\x02t.", "lacks a mark"),
        (b"\x80\x02X\xff\xff\xff\xff", "4294967295 bytes"),
        (b"\x80\x02V0\n.", "instruction 0x56"),
        (b"\x80\x02}.", "no tensors"),
        (b"\x80\x02].", "no dictionary"),
    ];
    for (pickle, expected) in cases {
        let text = refused(pickle);
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let many = [b"\x80\x02".as_slice(), &b"N".repeat((2 << 20) + 1), b"."].concat();
    assert!(refused(&many).contains("more than"));
    // A dictionary within itself.
    assert!(refused(b"\x80\x02}q\x00X\x01\0\0\0ah\x00s.").contains("too deep"));
}

#[test]
fn cut_files_are_errors_and_nothing_else() {
    for name in ["archive.pth", "before_1_6.pth", "script.pt"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for cut in (0..whole.len()).step_by(37) {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&whole[..cut]).unwrap();
            assert!(TorchFile::open(file.path()).is_err(), "{name} cut at {cut}");
        }
        // Any byte changed: an error or a file whose tensors can be read.
        for at in (0..whole.len()).step_by(3) {
            let mut changed = whole.clone();
            changed[at] ^= 0x41;
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&changed).unwrap();
            if let Ok(open) = TorchFile::open(file.path()) {
                open.tensors().values().for_each(|tensor| {
                    let _ = open.read(tensor).unwrap();
                });
            }
        }
    }
}
