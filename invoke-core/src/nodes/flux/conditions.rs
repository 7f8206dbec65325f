//! Pictures that a run of FLUX is given besides prompts.

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};

use crate::nodes::{
    Invoke, NodeCx, NodeEntry, NodeError, entry,
    fields::{FluxFillConditioningField, FluxKontextConditioningField, ImageField, TensorField},
};

pub(super) const NODES: &[NodeEntry] = &[entry::<FluxFill>(), entry::<FluxKontext>()];

/// A picture and what of it is made anew.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "flux_fill_output")]
struct FluxFillOutput {
    #[field(title = "Conditioning")]
    fill_cond: FluxFillConditioningField,
}

/// Says what of a picture FLUX Fill makes anew.
#[derive(Debug, Deserialize, Node)]
#[node(id = "flux_fill", title = "FLUX Fill Conditioning", version = "1.0.0", category = "conditioning", tags("inpaint"), classification = Beta, output = FluxFillOutput)]
struct FluxFill {
    image: ImageField,
    mask: TensorField,
}

impl Invoke for FluxFill {
    fn invoke(self, _: &dyn NodeCx) -> Result<FluxFillOutput, NodeError> {
        Ok(FluxFillOutput {
            fill_cond: FluxFillConditioningField {
                image: self.image,
                mask: self.mask,
            },
        })
    }
}

/// A picture to refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "flux_kontext_output")]
struct FluxKontextOutput {
    #[field(title = "Kontext Conditioning")]
    kontext_cond: FluxKontextConditioningField,
}

/// Makes a picture one that FLUX Kontext refers to.
#[derive(Debug, Deserialize, Node)]
#[node(id = "flux_kontext", title = "Kontext Conditioning - FLUX", version = "1.0.0", category = "conditioning", tags("conditioning", "kontext", "flux"), output = FluxKontextOutput)]
struct FluxKontext {
    image: ImageField,
}

impl Invoke for FluxKontext {
    fn invoke(self, _: &dyn NodeCx) -> Result<FluxKontextOutput, NodeError> {
        Ok(FluxKontextOutput {
            kontext_cond: FluxKontextConditioningField { image: self.image },
        })
    }
}
