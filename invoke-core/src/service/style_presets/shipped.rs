//! The presets that ship with the program.

use crate::domain::{
    UserId,
    library::{Origin, StylePreset},
};

/// Name, template of the prompt, template of the negative prompt.
const PRESETS: &[(&str, &str, &str)] = &[
    (
        "Charcoal",
        "charcoal drawing of {prompt}, smudged shadows, rough paper, strong contrast",
        "photo, colour, glossy",
    ),
    (
        "Flat Poster",
        "{prompt}, flat poster, few solid colours, bold shapes, clean edges",
        "gradient, noise, photo, text",
    ),
    (
        "Golden Hour",
        "{prompt}, golden hour, low warm sun, long shadows, soft haze",
        "harsh flash, overcast, grey",
    ),
    (
        "Ink and Wash",
        "{prompt}, ink outline, loose watercolour wash, white paper",
        "photo, 3d, smooth shading",
    ),
    (
        "Studio Portrait",
        "portrait of {prompt}, soft key light, plain backdrop, 85mm, shallow depth of field",
        "distorted face, extra limbs, clutter",
    ),
    (
        "Voxel Scene",
        "{prompt} made of small cubes, isometric view, even light",
        "curved lines, photo, blur",
    ),
];

/// All of them. Their identifiers follow from their place, so that they stay the same from start to start.
pub(super) fn presets() -> Vec<StylePreset> {
    let preset = |(at, (name, positive, negative)): (usize, &(&str, &str, &str))| StylePreset {
        id: format!("5d1f0c00-0000-4000-8000-{:012x}", at + 1),
        user_id: UserId::system(),
        is_public: true,
        origin: Origin::Default,
        name: (*name).to_owned(),
        positive_prompt: (*positive).to_owned(),
        negative_prompt: (*negative).to_owned(),
    };
    PRESETS.iter().enumerate().map(preset).collect()
}
