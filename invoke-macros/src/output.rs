//! `#[derive(Output)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, LitStr, Result};

use crate::attrs::{self, option};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let (mut id, mut schema) = (None::<LitStr>, ident.to_string());
    for attr in attrs::named(input, "output") {
        attr.parse_nested_meta(|meta| {
            match meta.path.require_ident()?.to_string().as_str() {
                "id" => id = Some(meta.value()?.parse()?),
                "schema" => schema = meta.value()?.parse::<LitStr>()?.value(),
                _ => return Err(meta.error("no such property of an output")),
            }
            Ok(())
        })?;
    }
    let id = id.ok_or_else(|| Error::new(ident.span(), "an output needs `#[output(id = …)]`"))?;
    let mut metas = Vec::new();
    for field in attrs::fields(input)?.0 {
        let attrs = attrs::of_field(field)?;
        let default = option(attrs.default.as_ref());
        let (name, shape, ui) = (&attrs.name, attrs.shape(&field.ty, false), attrs.ui());
        metas.push(quote!(crate::graph::meta::OutputField { name: #name, shape: #shape, default: #default, ui: #ui }));
    }
    Ok(quote! {
        impl crate::graph::meta::Output for #ident {
            const META: &'static crate::graph::meta::OutputMeta =
                &crate::graph::meta::OutputMeta { id: #id, schema: #schema, fields: &[#(#metas),*] };
        }
    })
}
