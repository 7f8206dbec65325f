//! Architectures of upscalers, told apart by tensors that only they have: what identifies files and what opens them ask here.
//!
//! A new one is a row of [`FAMILIES`] and a [`Kind`], of which `vision::upscale` then has to make a network.

/// What training frameworks put before all names: cut off one after another.
const PREFIXES: &[&str] = &["module.", "netG."];

/// What training frameworks put before all of these names, empty if nothing.
pub(crate) fn training_prefix<'a>(names: impl Iterator<Item = &'a str> + Clone) -> &'a str {
    let mut length = 0;
    for prefix in PREFIXES {
        // All names are alike so far, so that all can be cut there.
        if names.clone().all(|name| name[length..].starts_with(prefix)) {
            length += prefix.len();
        }
    }
    names.clone().next().map_or("", |name| &name[..length])
}

/// How the tensors of an ESRGAN are named; the names themselves stand where the network is made, in `vision::upscale::rrdb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EsrganNames {
    /// `model.1.sub.0.RDB1.conv1.0`: the first ESRGAN and most files that people share.
    Sequence,
    /// `RRDB_trunk.0.RDB1.conv1`: BSRGAN, RealSR.
    Trunk,
    /// `body.0.rdb1.conv1`: Real-ESRGAN.
    Body,
}

/// Which network it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of transformers with a dictionary.
    Atd,
    /// Of convolutions in one list.
    Compact,
    /// Of two networks that look at smaller pictures.
    Cugan,
    /// Of attention within windows and among channels.
    Dat,
    /// Of transformers that see what those before them made.
    Drct,
    /// Of residual dense blocks.
    Esrgan(EsrganNames),
    /// Of gated blocks.
    Mosr,
    /// Of attention within windows, near and spread.
    Omni,
    /// Of large kernels.
    Plksr,
    /// Of attention within windows and to all of the picture.
    Rgt,
    /// Against noise.
    ScuNet,
    /// Of blocks that weigh their own results.
    Span,
    /// Of transformers of the second kind within windows.
    Swin2Sr,
    /// Of transformers within windows, `HAT` among them.
    SwinIr,
}

/// An architecture, in one of its namings.
#[derive(Debug)]
pub struct Family {
    kind: Kind,
    name: &'static str,
    is_wide: bool,
    has: fn(&Tensors<'_>) -> bool,
}

/// The tensors of a file, without what stands before all names.
struct Tensors<'a> {
    prefix: &'a str,
    /// How many axes the tensor of a whole name has, if there is one.
    axes: &'a dyn Fn(&str) -> Option<usize>,
}

impl<'a> Tensors<'a> {
    fn of<'n>(names: impl Iterator<Item = &'n str> + Clone, axes: &'a dyn Fn(&str) -> Option<usize>) -> Self
    where
        'n: 'a,
    {
        let prefix = training_prefix(names);
        Self { prefix, axes }
    }

    /// The architecture that they are of.
    fn family(&self) -> Option<&'static Family> {
        FAMILIES.iter().find(|family| (family.has)(self))
    }

    fn axes(&self, name: &str) -> Option<usize> {
        (self.axes)(&format!("{}{name}", self.prefix))
    }

    fn all(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.axes(name).is_some())
    }

    /// Whether the first transformer of a SwinIR is there.
    fn swin(&self) -> bool {
        const BLOCK: &str = "layers.0.residual_group.blocks.0";
        let parts = ["norm1.weight", "mlp.fc1.bias", "attn.relative_position_bias_table"];
        parts.iter().all(|part| self.axes(&format!("{BLOCK}.{part}")).is_some())
    }
}

/// Of a network that stays within the range of float16.
const NARROW: bool = false;
/// Of one that attends to pixels, divides by a norm or multiplies by its own results, and may leave it.
const WIDE: bool = true;

const fn family(kind: Kind, name: &'static str, is_wide: bool, has: fn(&Tensors<'_>) -> bool) -> Family {
    Family { kind, name, is_wide, has }
}

/// All architectures, in the order in which they are asked for: the first whose tensors are all there is the one.
const FAMILIES: &[Family] = &[
    // It has no names of its own: convolutions and the slopes between them, in one list.
    family(Kind::Compact, "Real-ESRGAN Compact", NARROW, |of| {
        [("body.0.weight", 4), ("body.1.weight", 1), ("body.2.weight", 4)]
            .iter()
            .all(|(name, axes)| of.axes(name) == Some(*axes))
    }),
    family(Kind::Esrgan(EsrganNames::Sequence), "ESRGAN", NARROW, |of| {
        of.all(&["model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"])
    }),
    family(Kind::Esrgan(EsrganNames::Body), "ESRGAN", NARROW, |of| {
        of.all(&[
            "conv_first.weight",
            "body.0.rdb1.conv1.weight",
            "conv_body.weight",
            "conv_last.weight",
        ]) && of.axes(MODULATION).is_none()
    }),
    family(Kind::Esrgan(EsrganNames::Trunk), "ESRGAN", NARROW, |of| {
        of.all(&[
            "conv_first.weight",
            "RRDB_trunk.0.RDB1.conv1.weight",
            "trunk_conv.weight",
            "conv_last.weight",
        ])
    }),
    family(Kind::Plksr, "PLKSR", WIDE, |of| {
        of.all(&["feats.0.weight", "feats.1.lk.conv.weight"])
    }),
    family(Kind::Mosr, "MoSR", NARROW, |of| {
        of.all(&["gblocks.0.weight", "gblocks.1.fc1.weight", "gblocks.1.conv.weight"])
    }),
    family(Kind::Span, "SPAN", WIDE, |of| {
        of.all(&[
            "conv_1.sk.weight",
            "block_1.c1_r.sk.weight",
            "conv_cat.weight",
            "conv_2.sk.weight",
            "upsampler.0.weight",
        ])
    }),
    family(Kind::Rgt, "RGT", WIDE, |of| {
        of.all(&[
            "before_RG.1.weight",
            "layers.0.blocks.0.gamma",
            "layers.0.blocks.0.attn.get_v.weight",
        ])
    }),
    family(Kind::Dat, "DAT", WIDE, |of| {
        of.all(&["before_RG.1.weight", "layers.0.blocks.0.attn.attns.0.pos.pos_proj.weight"])
    }),
    family(Kind::Atd, "ATD", WIDE, |of| {
        of.all(&[
            "conv_first.weight",
            "layers.0.residual_group.td",
            "layers.0.residual_group.layers.0.attn_atd.scale",
        ])
    }),
    family(Kind::Drct, "DRCT", WIDE, |of| {
        of.all(&["conv_first.weight", "layers.0.swin1.norm1.weight", "layers.0.adjust1.weight"])
    }),
    family(Kind::SwinIr, "HAT", WIDE, |of| {
        of.swin() && of.all(&["conv_first.weight", "layers.0.residual_group.overlap_attn.qkv.weight"])
    }),
    family(Kind::SwinIr, "SwinIR", WIDE, |of| {
        // Those that begin with smaller pictures are told that they are not supported.
        of.swin() && ["conv_first.weight", "conv_first.1.weight"].iter().any(|name| of.all(&[name]))
    }),
    family(Kind::Swin2Sr, "Swin2SR", WIDE, |of| {
        of.all(&[
            "conv_first.weight",
            "patch_embed.proj.weight",
            "layers.0.residual_group.blocks.0.attn.logit_scale",
        ])
    }),
    family(Kind::ScuNet, "SCUNet", WIDE, |of| {
        of.all(&[
            "m_head.0.weight",
            "m_tail.0.weight",
            "m_body.0.trans_block.msa.relative_position_params",
        ])
    }),
    family(Kind::Cugan, "RealCUGAN", NARROW, |of| {
        of.all(&[
            "unet1.conv1.conv.0.weight",
            "unet1.conv2.seblock.conv1.weight",
            "unet2.conv_bottom.weight",
        ])
    }),
    family(Kind::Omni, "OmniSR", WIDE, |of| {
        of.all(&[
            "input.weight",
            "residual_layer.0.residual_layer.0.layer.0.fn.0.weight",
            "up.0.weight",
        ])
    }),
];

/// What an MM-RealSR has besides the tensors of an ESRGAN: it changes what the blocks make, so that the picture is another one without it.
const MODULATION: &str = "am_list.0.fc.0.weight";

/// Names of upscalers that the original runs and we do not. Of these few the record is kept, which a root that both use then has alike.
const OTHERS: &[&[&str]] = &[
    // GRL, in its three namings.
    &["conv_first.weight", "layers.0.blocks.0.attn.window_attn.attn_transform.logit_scale"],
    &[
        "model.conv_first.weight",
        "model.layers.0.blocks.0.attn.window_attn.attn_transform.logit_scale",
    ],
    &[
        "model_g.conv_first.weight",
        "model_g.layers.0.blocks.0.attn.window_attn.attn_transform.logit_scale",
    ],
    // MM-RealSR.
    &[
        "conv_first.weight",
        "body.0.rdb1.conv1.weight",
        "conv_body.weight",
        "conv_last.weight",
        MODULATION,
        "de_net.conv_first.0.weight",
        "dd_embed.0.weight",
    ],
];

impl Family {
    /// The architecture of a file with tensors of these names, by how many axes the tensor of a name has.
    pub fn of<'a>(names: impl Iterator<Item = &'a str> + Clone, axes: impl Fn(&str) -> Option<usize>) -> Option<&'static Self> {
        Tensors::of(names, &axes).family()
    }

    /// All of them, in the order in which they are asked for.
    pub fn all() -> &'static [Self] {
        FAMILIES
    }

    /// Which network it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What people call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether its results may leave the range of float16.
    pub fn is_wide(&self) -> bool {
        self.is_wide
    }
}

/// Whether a file is an upscaler: one that we run, or one of the few besides whose record is kept.
pub(super) fn is_upscaler<'a>(names: impl Iterator<Item = &'a str> + Clone, axes: impl Fn(&str) -> Option<usize>) -> bool {
    let tensors = Tensors::of(names, &axes);
    tensors.family().is_some() || OTHERS.iter().any(|others| tensors.all(others))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family_of(tensors: &[(&str, usize)]) -> Option<&'static str> {
        let axes = |name: &str| tensors.iter().find(|(known, _)| *known == name).map(|(_, axes)| *axes);
        Family::of(tensors.iter().map(|(name, _)| *name), axes).map(Family::name)
    }

    #[test]
    fn prefixes_are_cut_off_where_all_names_have_them() {
        let of = |names: &[&'static str]| training_prefix(names.iter().copied());
        assert_eq!(of(&[]), "");
        assert_eq!(of(&["module.a", "module.b"]), "module.");
        assert_eq!(of(&["netG.a", "netG."]), "netG.");
        assert_eq!(of(&["module.netG.a", "module.netG.b"]), "module.netG.");
        assert_eq!(of(&["module.netG.a", "module.b"]), "module.");
        assert_eq!(of(&["netG.module.a"]), "netG.");
        assert_eq!(of(&["module.a", "b"]), "");
    }

    #[test]
    fn tensors_tell_the_family() {
        let compact = [("body.0.weight", 4), ("body.1.weight", 1), ("body.2.weight", 4)];
        assert_eq!(family_of(&compact), Some("Real-ESRGAN Compact"));
        // Products instead of convolutions are something else.
        assert_eq!(family_of(&[compact[0], compact[1], ("body.2.weight", 2)]), None);
        assert_eq!(family_of(&compact[..2]), None);
        let plksr = ["feats.0.weight", "feats.1.lk.conv.weight"];
        assert_eq!(family_of(&plksr.map(|name| (name, 4))), Some("PLKSR"));
        assert_eq!(family_of(&[("netG.feats.0.weight", 4), ("feats.1.lk.conv.weight", 4)]), None);
        let prefixed = ["module.netG.feats.0.weight", "module.netG.feats.1.lk.conv.weight"];
        assert_eq!(family_of(&prefixed.map(|name| (name, 4))), Some("PLKSR"));
        assert_eq!(family_of(&[]), None);
    }

    #[test]
    fn what_only_the_original_runs_is_an_upscaler_of_no_family() {
        for (others, prefix) in OTHERS.iter().flat_map(|others| ["", "module."].map(|prefix| (others, prefix))) {
            let tensors: Vec<String> = others.iter().map(|name| format!("{prefix}{name}")).collect();
            let names = || tensors.iter().map(String::as_str);
            let axes = |name: &str| names().find(|known| *known == name).map(|_| 4);
            assert!(is_upscaler(names(), axes), "{tensors:?}");
            assert!(Family::of(names(), axes).is_none(), "{tensors:?}");
            let first = |name: &str| axes(name).filter(|_| name == tensors[0]);
            assert!(!is_upscaler(names().take(1), first), "{tensors:?}");
        }
        // Without its modulation it is what it was made from.
        let plain = OTHERS[3].iter().filter(|name| **name != MODULATION).map(|name| (*name, 4));
        assert_eq!(family_of(&plain.collect::<Vec<_>>()), Some("ESRGAN"));
    }
}
