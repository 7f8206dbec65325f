//! The autoencoder.

use candle_core::{DType, Device};
use invoke_core::diffusion::Seamless;
use invoke_core::diffusion::vae::{Vae, to_rgb};

use super::{Recorded, tiny, wave};

fn vae() -> Vae {
    Vae::open(&tiny("vae"), DType::F32, &Device::Cpu).unwrap()
}

#[test]
fn decoding() {
    let (vae, recorded) = (vae(), Recorded::open("vae"));
    let plain = Seamless::default();
    let decoded = vae.decode(&wave(&[1, 4, 24, 16], 0.0, 1.0), plain, None).unwrap();
    assert_eq!(decoded.dims(), [1, 3, 192, 128]);
    recorded.check("decode", &decoded);
    let (width, height, bytes) = to_rgb(&decoded).unwrap();
    assert_eq!((width, height, bytes.len()), (128, 192, 128 * 192 * 3));
    let tiling = vae.tiling(128).unwrap();
    recorded.check(
        "decode tiled",
        &vae.decode(&wave(&[1, 4, 30, 41], 0.0, 1.0), plain, Some(&tiling)).unwrap(),
    );
    recorded.check(
        "decode seamless",
        &vae.decode(&wave(&[1, 4, 16, 16], 0.0, 1.0), Seamless { x: true, y: true }, None)
            .unwrap(),
    );
    assert_eq!(vae.tiling(0).unwrap().pixels, 256);
    assert!(vae.tiling(8).unwrap_err().to_string().contains("at least 32"));
    assert!(
        vae.decode(&wave(&[1, 16, 4, 4], 0.0, 1.0), plain, None)
            .unwrap_err()
            .to_string()
            .contains("16 channels")
    );
}

#[test]
fn encoding() {
    let (vae, recorded) = (vae(), Recorded::open("vae"));
    let posterior = vae.posterior(&wave(&[1, 3, 64, 96], 0.0, 1.0), None).unwrap();
    recorded.check("mean", &posterior.mean);
    recorded.check("log variance", &posterior.log_variance);
    let noise = wave(&[1, 4, 8, 12], 3.0, 1.0);
    recorded.check("sample", &vae.encode(&wave(&[1, 3, 64, 96], 0.0, 1.0), Some(&noise), None).unwrap());
    let tiling = vae.tiling(128).unwrap();
    let tiled = vae.posterior(&wave(&[1, 3, 200, 264], 0.0, 1.0), Some(&tiling)).unwrap();
    recorded.check("mean tiled", &tiled.mean);
    recorded.check("log variance tiled", &tiled.log_variance);
    assert!(
        vae.posterior(&wave(&[1, 3, 60, 96], 0.0, 1.0), None)
            .unwrap_err()
            .to_string()
            .contains("multiples of 8")
    );
}
