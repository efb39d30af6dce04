//! From described routes to one router: the `OpenAPI` document, and the spellings of an address.

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use utoipa::openapi::{InfoBuilder, OpenApi};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::fault::{FaultBody, FaultDetail, FaultField};

/// Takes described routes apart: the router, and the document that describes it.
///
/// The document gets the box's name and version, and the schema of the one fault body.
pub fn split(api: OpenApiRouter, version: &str) -> (Router, OpenApi) {
    let (router, mut document) = api.split_for_parts();
    document.info = InfoBuilder::new()
        .title("ilot")
        .version(version)
        .description(Some(
            "A site's whole back office on one box. Every answer that is not a success has the body `FaultBody`.",
        ))
        .build();
    let schemas = &mut document.components.get_or_insert_default().schemas;
    schemas.insert(FaultBody::name().into_owned(), FaultBody::schema());
    schemas.insert(FaultDetail::name().into_owned(), FaultDetail::schema());
    schemas.insert(FaultField::name().into_owned(), FaultField::schema());
    (router, document)
}

/// How an address may be spelled: with or without a slash at its end, with or without `/api`.
///
/// Routes are declared without the last slash. `/api/x` is `/x` unless a route is really declared
/// under `/api` there. Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Spelling {
    under_api: Arc<[String]>,
}

impl Spelling {
    /// The spellings of the routes in `document`.
    pub fn of(document: &OpenApi) -> Self {
        Self::with(document.paths.paths.keys().map(String::as_str))
    }

    /// The spellings of routes declared as `paths`.
    pub fn with<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let under_api = paths.filter(|path| path.starts_with("/api/")).map(str::to_owned).collect();
        Self { under_api }
    }

    /// The address as the router knows it; none when it is spelled so already.
    pub fn normal(&self, uri: &Uri) -> Option<Uri> {
        let path = uri.path();
        let mut wanted = path;
        if wanted.len() > 1 {
            wanted = wanted.trim_end_matches('/');
        }
        if let Some(rest) = wanted.strip_prefix("/api/")
            && !self.under_api.iter().any(|declared| fits(declared, wanted))
        {
            wanted = wanted.get(wanted.len() - rest.len() - 1..).unwrap_or(wanted);
        }
        if wanted.is_empty() {
            wanted = "/";
        }
        if wanted.len() == path.len() {
            return None;
        }
        let whole =
            uri.query().map_or_else(|| wanted.to_owned(), |query| format!("{wanted}?{query}"));
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(whole).ok()?);
        Uri::from_parts(parts).ok()
    }
}

/// Whether `path` is one that a route declared as `declared` takes.
fn fits(declared: &str, path: &str) -> bool {
    let mut steps = path.split('/');
    for part in declared.split('/') {
        if part.starts_with("{*") {
            return steps.next().is_some();
        }
        match steps.next() {
            Some(step) if part == step || (part.starts_with('{') && !step.is_empty()) => {}
            _ => return false,
        }
    }
    steps.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_finds_its_route() {
        let spelling =
            Spelling::with(["/api/servers/{id}", "/api/files/{*path}", "/health"].into_iter());
        for (asked, routed) in [
            ("/health", "/health"),
            ("/health/", "/health"),
            ("/health/?a=1", "/health?a=1"),
            ("/api/health", "/health"),
            ("/api/punch/validate/?x=%2F", "/punch/validate?x=%2F"),
            ("/api/servers/7", "/api/servers/7"),
            ("/api/servers/7/", "/api/servers/7"),
            ("/api/servers", "/servers"),
            ("/api/files/a/b", "/api/files/a/b"),
            ("/", "/"),
            ("//", "/"),
            ("/api", "/api"),
            ("/api/", "/api"),
            ("/apiary", "/apiary"),
        ] {
            let uri: Uri = asked.parse().unwrap();
            let normal = spelling.normal(&uri).unwrap_or(uri);
            assert_eq!(normal.to_string(), routed, "{asked}");
        }
    }
}
