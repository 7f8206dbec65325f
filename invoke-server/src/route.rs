//! What a route is: one operation of the interface, declared once.
//!
//! The list of all routes ([`crate::api::routes`]) feeds the dispatcher, the OpenAPI document and the tests of access. A route cannot be
//! declared without saying who may use it.

use invoke_core::domain::shape::{Field, Shape};

use crate::{call::Call, error::Result, reply::Reply};

/// Answers a request. Runs where blocking is allowed, unless the route is [`Weight::Inline`].
pub type Handler = fn(&mut Call<'_>) -> Result<Reply>;

/// The methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the head alone.
    Head,
    /// Creates, or asks with a body.
    Post,
    /// Sets, or commands.
    Put,
    /// Changes some fields.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// The method of a request, if it is one that routes have.
    pub fn of(method: &http::Method) -> Option<Self> {
        Some(match method.as_str() {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    /// Its name in lower case, as OpenAPI writes it.
    pub const fn lower(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// Whether it may change something.
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::Head)
    }
}

/// Who may use a route. What they may do with a particular thing is the services' business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Everyone; credentials are not looked at.
    Anonymous,
    /// Everyone signed in; in single-user mode everyone, as the administrator.
    User,
    /// Administrators; in single-user mode everyone.
    Admin,
    /// As [`Access::User`], but the media cookie serves as well as a bearer token, since an `<img>` sends no header.
    Media,
    /// Everyone who presents the token of an account, in either mode.
    AccountUser,
    /// Administrators who present the token of their account, in either mode.
    AccountAdmin,
}

impl Access {
    /// Every rule.
    pub const ALL: &'static [Self] = &[
        Self::Anonymous,
        Self::User,
        Self::Admin,
        Self::Media,
        Self::AccountUser,
        Self::AccountAdmin,
    ];

    /// Whether an account's token is demanded in either mode, and its absence answered with a challenge.
    pub const fn is_account(self) -> bool {
        matches!(self, Self::AccountUser | Self::AccountAdmin)
    }
}

/// What answering costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Microseconds, and nothing that could wait for a disk or a lock.
    Inline,
    /// A few short queries.
    Blocking,
    /// A password is hashed, slowly by design. As many of these run at a time as the accounts have places for hashing.
    Hashing,
    /// Milliseconds of computing or reading: pictures, lists of a whole gallery. Few of these run at a time, so that they do
    /// not hold up the short ones.
    Heavy,
}

/// What a request's body is.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// Not looked at.
    None,
    /// JSON of this shape; a text may come as plain text as well.
    Json(Shape),
    /// A JSON object with these fields, each of which is a parameter of its own.
    Fields(&'static [Field]),
    /// `multipart/form-data` with these parts; those of shape [`Shape::Binary`] are files.
    Form(&'static [Field]),
}

/// One successful answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Content type; empty for an answer without content.
    pub media: &'static str,
    /// What it looks like.
    pub shape: Shape,
}

/// Bytes that a body may have unless a route says otherwise.
pub const DEFAULT_BODY_LIMIT: usize = 64 << 20;

/// One operation.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// HTTP method.
    pub method: Method,
    /// Path with parameters in braces: `/api/v1/boards/{board_id}`.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// Answers it.
    pub run: Handler,
    /// What answering costs.
    pub weight: Weight,
    /// Group in the document.
    pub tag: &'static str,
    /// Name in the document.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// Whether clients should no longer use it.
    pub deprecated: bool,
    /// Shapes of path parameters that are more than a text.
    pub path_shapes: &'static [Field],
    /// Query parameters.
    pub query: &'static [Field],
    /// Body.
    pub body: Body,
    /// Fields of the body as the document describes them, where they are checked elsewhere.
    pub described: &'static [Field],
    /// Bytes that the body may have.
    pub body_limit: usize,
    /// Successful answers, the usual one first.
    pub answers: [Option<Answer>; 2],
    /// What is answered, as JSON with status 500, when a fault of ours gets in the way; without it the answer is a bare text.
    pub fault: Option<&'static str>,
    /// Whether a successful write through it prolongs the caller's sign-in.
    pub refreshes: bool,
}

impl Route {
    /// A route with what none can lack.
    pub const fn new(method: Method, path: &'static str, access: Access, run: Handler) -> Self {
        Self {
            method,
            path,
            access,
            run,
            weight: Weight::Blocking,
            tag: "",
            name: "",
            summary: "",
            deprecated: false,
            path_shapes: &[],
            query: &[],
            body: Body::None,
            described: &[],
            body_limit: DEFAULT_BODY_LIMIT,
            answers: [None, None],
            fault: None,
            refreshes: method.writes(),
        }
    }

    /// A GET route.
    pub const fn get(path: &'static str, access: Access, run: Handler) -> Self {
        Self::new(Method::Get, path, access, run)
    }

    /// A POST route.
    pub const fn post(path: &'static str, access: Access, run: Handler) -> Self {
        Self::new(Method::Post, path, access, run)
    }

    /// A PUT route.
    pub const fn put(path: &'static str, access: Access, run: Handler) -> Self {
        Self::new(Method::Put, path, access, run)
    }

    /// A PATCH route.
    pub const fn patch(path: &'static str, access: Access, run: Handler) -> Self {
        Self::new(Method::Patch, path, access, run)
    }

    /// A DELETE route.
    pub const fn delete(path: &'static str, access: Access, run: Handler) -> Self {
        Self::new(Method::Delete, path, access, run)
    }

    /// Its group, name and description in the document.
    pub const fn doc(self, tag: &'static str, name: &'static str, summary: &'static str) -> Self {
        Self {
            tag,
            name,
            summary,
            ..self
        }
    }

    /// Clients should no longer use it.
    pub const fn deprecated(self) -> Self {
        Self { deprecated: true, ..self }
    }

    /// Path parameters that are more than a text.
    pub const fn path_shapes(self, path_shapes: &'static [Field]) -> Self {
        Self { path_shapes, ..self }
    }

    /// Query parameters.
    pub const fn query(self, query: &'static [Field]) -> Self {
        Self { query, ..self }
    }

    /// The body is JSON of this shape.
    pub const fn json(self, shape: Shape) -> Self {
        Self {
            body: Body::Json(shape),
            ..self
        }
    }

    /// The body is a JSON object with these parameters.
    pub const fn fields(self, fields: &'static [Field]) -> Self {
        Self {
            body: Body::Fields(fields),
            ..self
        }
    }

    /// The document describes the body by these fields, since something else than the route checks it.
    pub const fn described_by(self, described: &'static [Field]) -> Self {
        Self { described, ..self }
    }

    /// The body is a form with these parts, of so many bytes at most.
    pub const fn form(self, parts: &'static [Field], body_limit: usize) -> Self {
        Self {
            body: Body::Form(parts),
            body_limit,
            ..self
        }
    }

    /// It answers JSON.
    pub const fn returns(self, status: u16, shape: Shape) -> Self {
        self.answer(Answer {
            status,
            media: "application/json",
            shape,
        })
    }

    /// It answers without content.
    pub const fn returns_nothing(self, status: u16) -> Self {
        self.answer(Answer {
            status,
            media: "",
            shape: Shape::Any,
        })
    }

    /// It answers a file or text of this type.
    pub const fn returns_media(self, media: &'static str) -> Self {
        self.answer(Answer {
            status: 200,
            media,
            shape: Shape::Binary,
        })
    }

    /// It answers a file or text of this type, by this status.
    pub const fn returns_media_as(self, status: u16, media: &'static str) -> Self {
        self.answer(Answer {
            status,
            media,
            shape: Shape::Binary,
        })
    }

    const fn answer(self, answer: Answer) -> Self {
        let answers = if self.answers[0].is_none() {
            [Some(answer), None]
        } else {
            [self.answers[0], Some(answer)]
        };
        Self { answers, ..self }
    }

    /// What is answered when a fault of ours gets in the way.
    pub const fn fault(self, text: &'static str) -> Self {
        Self { fault: Some(text), ..self }
    }

    /// Answering takes no time to speak of.
    pub const fn inline(self) -> Self {
        Self {
            weight: Weight::Inline,
            ..self
        }
    }

    /// Answering hashes a password.
    pub const fn hashing(self) -> Self {
        Self {
            weight: Weight::Hashing,
            ..self
        }
    }

    /// Answering takes a while.
    pub const fn heavy(self) -> Self {
        Self {
            weight: Weight::Heavy,
            ..self
        }
    }

    /// A write through it does not prolong the sign-in.
    pub const fn without_refresh(self) -> Self {
        Self { refreshes: false, ..self }
    }

    /// Names of its path parameters, in order.
    pub fn path_parameters(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        let mut rest = self.path;
        while let Some((_, after)) = rest.split_once('{') {
            let Some((name, tail)) = after.split_once('}') else { break };
            names.push(name.trim_start_matches('*'));
            rest = tail;
        }
        names
    }

    /// The shape of a path parameter.
    pub fn path_shape(&self, name: &str) -> Shape {
        self.path_shapes
            .iter()
            .find(|field| field.name == name)
            .map_or(Shape::STR, |field| field.shape)
    }
}
