//! Reading attributes.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, ExprUnary, Field, Fields, GenericArgument, Ident, Lit, LitStr, PathArguments,
    Result, Token, Type, UnOp, meta::ParseNestedMeta, punctuated::Punctuated, spanned::Spanned,
};

/// Everything that `#[field(…)]` may say.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) name: String,
    pub(crate) default: Option<String>,
    pub(crate) unprinted: bool,
    pub(crate) required: bool,
    pub(crate) hidden: bool,
    pub(crate) input: Option<Ident>,
    pub(crate) before: Option<syn::Path>,
    pub(crate) title: Option<LitStr>,
    pub(crate) component: Option<LitStr>,
    pub(crate) ui_type: Option<LitStr>,
    pub(crate) order: Option<Expr>,
    pub(crate) choices: Vec<(LitStr, LitStr)>,
    pub(crate) model_base: Vec<LitStr>,
    pub(crate) model_type: Vec<LitStr>,
    pub(crate) model_variant: Vec<LitStr>,
    pub(crate) model_format: Vec<LitStr>,
    shape: Option<Expr>,
    bounds: TokenStream,
    length: TokenStream,
}

/// The named fields of a struct; left out are one that collects undeclared keys, and those with `#[serde(default)]`, which are no inputs.
pub(crate) fn fields(input: &DeriveInput) -> Result<(Vec<&Field>, bool)> {
    let named = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(named) => named.named.iter().collect(),
            Fields::Unit => Vec::new(),
            Fields::Unnamed(other) => return Err(Error::new(other.span(), "the fields need names")),
        },
        _ => return Err(Error::new(input.ident.span(), "only a struct can be described")),
    };
    let mut keeps_extra = false;
    let mut declared = Vec::new();
    for field in named {
        if is_unlisted(field) {
            continue;
        }
        if serde_says(field, "flatten")? {
            keeps_extra = true;
        } else {
            declared.push(field);
        }
    }
    Ok((declared, keeps_extra))
}

fn serde_says(field: &Field, word: &str) -> Result<bool> {
    let mut found = false;
    for attr in field.attrs.iter().filter(|a| a.path().is_ident("serde")) {
        attr.parse_nested_meta(|meta| {
            found |= meta.path.is_ident(word);
            if meta.input.peek(Token![=]) {
                meta.value()?.parse::<Expr>()?;
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// Whether the session fills a field in and nobody else sees it.
fn is_unlisted(field: &Field) -> bool {
    let listed = |attr: &Attribute| attr.parse_args::<Ident>().is_ok_and(|word| word == "unlisted");
    field.attrs.iter().any(|attr| attr.path().is_ident("field") && listed(attr))
}

/// Reads one field's attributes.
pub(crate) fn of_field(field: &Field) -> Result<FieldAttrs> {
    let ident = field.ident.as_ref().expect("only named fields are read");
    let text = ident.to_string();
    let mut attrs = FieldAttrs {
        name: text.strip_prefix("r#").unwrap_or(&text).to_owned(),
        ..FieldAttrs::default()
    };
    for attr in &field.attrs {
        if attr.path().is_ident("serde") {
            attr.parse_nested_meta(|meta| {
                if meta.path.is_ident("rename") {
                    attrs.name = meta.value()?.parse::<LitStr>()?.value();
                } else if meta.input.peek(Token![=]) {
                    meta.value()?.parse::<Expr>()?;
                }
                Ok(())
            })?;
        } else if attr.path().is_ident("field") {
            attr.parse_nested_meta(|meta| field_word(&mut attrs, &meta))?;
        }
    }
    Ok(attrs)
}

fn field_word(attrs: &mut FieldAttrs, meta: &ParseNestedMeta<'_>) -> Result<()> {
    let word = meta.path.require_ident()?.to_string();
    match word.as_str() {
        "default" => attrs.default = Some(json_literal(&meta.value()?.parse()?)?),
        "json" => attrs.default = Some(meta.value()?.parse::<LitStr>()?.value()),
        "ge" | "gt" | "le" | "lt" | "multiple_of" => {
            let method = Ident::new(&word, meta.path.span());
            let value: Expr = meta.value()?.parse()?;
            let earlier = &attrs.bounds;
            let value = float(&value);
            attrs.bounds = quote!(#earlier.#method(#value));
        }
        "min_items" | "max_items" | "min_length" | "max_length" => {
            let method = Ident::new(&word[..3], meta.path.span());
            let value: Expr = meta.value()?.parse()?;
            let earlier = &attrs.length;
            attrs.length = quote!(#earlier.#method(#value));
        }
        "input" => {
            let kind: Ident = meta.value()?.parse()?;
            attrs.input = Some(match kind.to_string().as_str() {
                "any" => Ident::new("Any", kind.span()),
                "connection" => Ident::new("Connection", kind.span()),
                "direct" => Ident::new("Direct", kind.span()),
                _ => return Err(Error::new(kind.span(), "expected `any`, `connection` or `direct`")),
            });
        }
        "before" => attrs.before = Some(meta.value()?.parse()?),
        "shape" => attrs.shape = Some(meta.value()?.parse()?),
        "title" => attrs.title = Some(meta.value()?.parse()?),
        "component" => attrs.component = Some(meta.value()?.parse()?),
        "ui_type" => attrs.ui_type = Some(meta.value()?.parse()?),
        "order" => attrs.order = Some(meta.value()?.parse()?),
        "hidden" => attrs.hidden = true,
        "required" => attrs.required = true,
        "unprinted" => attrs.unprinted = true,
        "model_base" => attrs.model_base = texts(meta)?,
        "model_type" => attrs.model_type = texts(meta)?,
        "model_variant" => attrs.model_variant = texts(meta)?,
        "model_format" => attrs.model_format = texts(meta)?,
        "choices" => {
            let content;
            syn::parenthesized!(content in meta.input);
            while !content.is_empty() {
                let value = content.parse()?;
                content.parse::<Token![=]>()?;
                attrs.choices.push((value, content.parse()?));
                if content.peek(Token![,]) {
                    content.parse::<Token![,]>()?;
                }
            }
        }
        _ => return Err(meta.error("no such property of a field")),
    }
    Ok(())
}

/// `("a", "b")`.
pub(crate) fn texts(meta: &ParseNestedMeta<'_>) -> Result<Vec<LitStr>> {
    let content;
    syn::parenthesized!(content in meta.input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

/// An expression as a float; whole literals of any size.
fn float(expr: &Expr) -> TokenStream {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => {
            let literal = Literal::f64_unsuffixed(number.base10_parse().unwrap_or(f64::INFINITY));
            quote!(#literal)
        }
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_), expr, ..
        }) => {
            let inner = float(expr);
            quote!(-#inner)
        }
        other => quote!((#other) as f64),
    }
}

/// A literal as JSON text.
fn json_literal(expr: &Expr) -> Result<String> {
    let complain = || {
        Error::new(
            expr.span(),
            "expected a literal, a list of literals or `null`; for anything else use `json = \"…\"`",
        )
    };
    match expr {
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Str(text) => Ok(json_text(&text.value())),
            Lit::Bool(value) => Ok(value.value.to_string()),
            Lit::Int(number) => Ok(number.base10_digits().to_owned()),
            Lit::Float(number) => {
                let digits = number.base10_digits();
                Ok(if digits.ends_with('.') {
                    format!("{digits}0")
                } else {
                    digits.to_owned()
                })
            }
            _ => Err(complain()),
        },
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_), expr, ..
        }) => Ok(format!("-{}", json_literal(expr)?)),
        Expr::Array(list) => Ok(format!(
            "[{}]",
            list.elems.iter().map(json_literal).collect::<Result<Vec<_>>>()?.join(",")
        )),
        Expr::Path(path) if path.path.is_ident("null") => Ok("null".to_owned()),
        _ => Err(complain()),
    }
}

fn json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `T` of `Option<T>`.
pub(crate) fn option_of(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|s| s.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    arguments
        .args
        .iter()
        .find_map(|a| if let GenericArgument::Type(ty) = a { Some(ty) } else { None })
}

impl FieldAttrs {
    /// The shape of a field of this type, bounds applied; `nullable` makes null one of its values.
    pub(crate) fn shape(&self, ty: &Type, nullable: bool) -> TokenStream {
        let (inner, is_option) = match option_of(ty) {
            Some(inner) => (inner, true),
            None => (ty, false),
        };
        let mut shape = match &self.shape {
            Some(shape) => quote!(#shape),
            None => quote!(<#inner as crate::domain::shape::HasShape>::SHAPE),
        };
        if !self.bounds.is_empty() {
            let bounds = &self.bounds;
            shape = quote!(#shape.bounded(crate::domain::shape::Bounds::NONE #bounds));
        }
        if !self.length.is_empty() {
            let length = &self.length;
            shape = quote!(#shape.sized(crate::domain::shape::Length::ANY #length));
        }
        if is_option || nullable {
            shape = quote!({ const INNER: crate::domain::shape::Shape = #shape; crate::domain::shape::Shape::Nullable(&INNER) });
        }
        shape
    }

    /// The hints for editors.
    pub(crate) fn ui(&self) -> TokenStream {
        let (title, component, ui_type) = (
            option(self.title.as_ref()),
            option(self.component.as_ref()),
            option(self.ui_type.as_ref()),
        );
        let (order, hidden) = (option(self.order.as_ref()), self.hidden);
        let (base, kind, variant, format) = (&self.model_base, &self.model_type, &self.model_variant, &self.model_format);
        let choices = self.choices.iter().map(|(value, label)| quote!((#value, #label)));
        quote!(crate::graph::meta::Ui {
            title: #title, component: #component, ui_type: #ui_type, order: #order, hidden: #hidden, choice_labels: &[#(#choices),*],
            model_base: &[#(#base),*], model_type: &[#(#kind),*], model_variant: &[#(#variant),*], model_format: &[#(#format),*],
        })
    }
}

/// `Some(x)` or `None`.
pub(crate) fn option<T: ToTokens>(value: Option<T>) -> TokenStream {
    value.map_or_else(|| quote!(None), |value| quote!(Some(#value)))
}

/// The attributes of a struct that bear this name.
pub(crate) fn named<'a>(input: &'a DeriveInput, name: &'a str) -> impl Iterator<Item = &'a Attribute> {
    input.attrs.iter().filter(move |a| a.path().is_ident(name))
}
