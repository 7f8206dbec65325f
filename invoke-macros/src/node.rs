//! `#[derive(Node)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, Ident, LitBool, LitStr, Path, Result};

use crate::attrs::{self, option};

#[derive(Default)]
struct NodeAttrs {
    id: Option<LitStr>,
    schema: Option<LitStr>,
    title: Option<LitStr>,
    version: Option<LitStr>,
    category: Option<LitStr>,
    tags: Option<Vec<LitStr>>,
    output: Option<Path>,
    check: Option<Path>,
    classification: Option<Ident>,
    cache: Option<LitBool>,
    board: bool,
    metadata: bool,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let mut node = NodeAttrs::default();
    for attr in attrs::named(input, "node") {
        attr.parse_nested_meta(|meta| {
            match meta.path.require_ident()?.to_string().as_str() {
                "id" => node.id = Some(meta.value()?.parse()?),
                "schema" => node.schema = Some(meta.value()?.parse()?),
                "title" => node.title = Some(meta.value()?.parse()?),
                "version" => node.version = Some(meta.value()?.parse()?),
                "category" => node.category = Some(meta.value()?.parse()?),
                "tags" => node.tags = Some(attrs::texts(&meta)?),
                "output" => node.output = Some(meta.value()?.parse()?),
                "check" => node.check = Some(meta.value()?.parse()?),
                "classification" => node.classification = Some(meta.value()?.parse()?),
                "cache" => node.cache = Some(meta.value()?.parse()?),
                "board" => node.board = true,
                "metadata" => node.metadata = true,
                _ => return Err(meta.error("no such property of a node")),
            }
            Ok(())
        })?;
    }
    let ident = &input.ident;
    let missing = |what: &str| Error::new(ident.span(), format!("a node needs `#[node({what} = …)]`"));
    let id = node.id.as_ref().ok_or_else(|| missing("id"))?;
    let title = node.title.as_ref().ok_or_else(|| missing("title"))?;
    let version = node.version.as_ref().ok_or_else(|| missing("version"))?;
    let output = node.output.as_ref().ok_or_else(|| missing("output"))?;
    let schema = node.schema.as_ref().map_or_else(|| format!("{ident}Invocation"), LitStr::value);
    let category = option(node.category.as_ref());
    let tags = option(node.tags.as_ref().map(|tags| quote!(&[#(#tags),*] as &[&str])));
    let classification = node.classification.unwrap_or_else(|| Ident::new("Stable", ident.span()));
    let check = option(node.check.as_ref());
    let cache = node.cache.as_ref().is_none_or(LitBool::value);

    let (fields, extra_keys) = attrs::fields(input)?;
    let mut metas = Vec::new();
    if node.board {
        metas.push(quote!(crate::graph::meta::FieldMeta::BOARD));
    }
    if node.metadata {
        metas.push(quote!(crate::graph::meta::FieldMeta::METADATA));
    }
    for field in fields {
        let attrs = attrs::of_field(field)?;
        let is_direct = attrs.input.as_ref().is_some_and(|input| input == "Direct");
        let required = attrs.required || (attrs.default.is_none() && attrs::option_of(&field.ty).is_none());
        let shape = attrs.shape(&field.ty, required && !is_direct && attrs.default.is_none());
        let default = match &attrs.default {
            Some(text) => quote!(Some(#text)),
            None if required && is_direct => quote!(None),
            None => quote!(Some("null")),
        };
        let (name, ui, before) = (&attrs.name, attrs.ui(), option(attrs.before.as_ref()));
        let way = attrs.input.clone().unwrap_or_else(|| Ident::new("Any", ident.span()));
        metas.push(quote!(crate::graph::meta::FieldMeta {
            name: #name, shape: #shape, kind: crate::graph::meta::Kind::Input, input: crate::graph::meta::Input::#way, required: #required,
            default: #default, before: #before, ui: #ui,
        }));
    }
    Ok(quote! {
        impl crate::graph::meta::Node for #ident {
            type Output = #output;
            const META: &'static crate::graph::meta::NodeMeta = &crate::graph::meta::NodeMeta {
                id: #id, schema: #schema, title: #title, version: #version, category: #category, tags: #tags,
                classification: crate::graph::meta::Classification::#classification, use_cache: #cache, fields: &[#(#metas),*],
                output: <#output as crate::graph::meta::Output>::META, extra_keys: #extra_keys, check: #check,
            };
        }
    })
}
