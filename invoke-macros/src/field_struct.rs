//! `#[derive(FieldStruct)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, LitStr, Result};

use crate::attrs;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let (declared, mut keeps_extra) = attrs::fields(input)?;
    let mut name = ident.to_string();
    for attr in attrs::named(input, "schema") {
        attr.parse_nested_meta(|meta| {
            match meta.path.require_ident()?.to_string().as_str() {
                "name" => name = meta.value()?.parse::<LitStr>()?.value(),
                "keep_extra" => keeps_extra = true,
                _ => return Err(meta.error("no such property of a field struct")),
            }
            Ok(())
        })?;
    }
    let mut fields = Vec::new();
    for field in declared {
        let attrs = attrs::of_field(field)?;
        let (key, shape) = (&attrs.name, attrs.shape(&field.ty, false));
        let default = match &attrs.default {
            Some(text) if attrs.unprinted => quote!(crate::domain::shape::Default::Unprinted(#text)),
            Some(text) => quote!(crate::domain::shape::Default::Json(#text)),
            None => quote!(crate::domain::shape::Default::Required),
        };
        fields.push(quote!(crate::domain::shape::Field { name: #key, shape: #shape, default: #default }));
    }
    let extra = if keeps_extra { quote!(Keep) } else { quote!(Ignore) };
    Ok(quote! {
        impl crate::domain::shape::HasShape for #ident {
            const SHAPE: crate::domain::shape::Shape = {
                const OBJECT: &crate::domain::shape::ObjectShape =
                    &crate::domain::shape::ObjectShape { name: #name, fields: &[#(#fields),*], extra: crate::domain::shape::Extra::#extra };
                crate::domain::shape::Shape::Object(OBJECT)
            };
        }
    })
}
