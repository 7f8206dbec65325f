//! Opens a root, makes a picture from a prompt with the model that ships with the program, and saves it.
//!
//!     cargo run --release -p invoke-core --example text_to_image -- "a red circle on a blue background" circle.png

use invoke_core::{Core, authz::Actor, service::text_to_image::TextToImage};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let prompt = arguments.next().unwrap_or_else(|| "a red circle on a blue background".into());
    let file = arguments.next().unwrap_or_else(|| "picture.png".into());
    let root = std::env::temp_dir().join("invoke-example");

    let core = Core::open_root(root)?;
    let made = core.text_to_image(
        &Actor::single_user_administrator(),
        &TextToImage::new(prompt),
        |share, doing| match share {
            Some(share) => eprintln!("{:3.0} % {doing}", share * 100.0),
            None => eprintln!("      {doing}"),
        },
    )?;
    made.pixels.save(&file)?;
    println!(
        "{file}: {}×{}, in the gallery as {}",
        made.pixels.width(),
        made.pixels.height(),
        made.image_name
    );
    Ok(())
}
