//! The document at `/openapi.json`: OpenAPI 3.1, made from the table of routes that is served.

use axum::http::{Method, StatusCode};
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Paths};
use utoipa::openapi::response::Response;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder,
    OpenApiVersion, Ref, ResponseBuilder, ServerBuilder,
};
use wire::admin::Role;
use wire::error::ErrorBody;

use super::described::Telling;
use super::routes::Route;
use crate::http::roles::{Right, right};

/// Below which path of the pages' address the routes are, as `servers` says.
pub const BELOW: &str = "/api";

/// What keys are called in the document.
const SCHEME: &str = "key";

/// What the document says of the whole.
const ABOUT: &str = "What the `postern` command asks of the verifier, over HTTPS, on behalf of a person who shows one of \
                     his keys. Times are RFC 3339 in UTC. Bodies are JSON of at most 64 KiB; fields that a request does \
                     not have are refused. New fields may come to answers.";

/// Refusals of every route.
const OF_ALL: [StatusCode; 7] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// Those of routes that read a variable, a query or a body.
const OF_READING: [StatusCode; 2] = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND];

/// Those of routes that change something.
const OF_CHANGE: [StatusCode; 2] = [StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY];

/// The document's text. What the source's comments link to, a reader of the document cannot follow.
pub(super) fn text(routes: &[Route]) -> String {
    let text = document(routes).to_json().expect("descriptions hold only numbers and texts");
    text.replace("[`", "`").replace("`]", "`").replace("`crate::", "`").replace("`super::", "`")
}

/// Tells of every route that is served over the network.
fn document(routes: &[Route]) -> OpenApi {
    let mut paths = Paths::new();
    let mut of_errors = Vec::new();
    ErrorBody::schemas(&mut of_errors);
    let mut components = ComponentsBuilder::new().schema_from::<ErrorBody>().schemas_from_iter(of_errors);
    for status in OF_ALL.into_iter().chain(OF_READING).chain(OF_CHANGE) {
        components = components.response(status.as_str(), refused(status));
    }
    let mut tags: Vec<&str> = Vec::new();
    for route in routes.iter().filter(|route| is_of_network(route.path)) {
        let told = told(route);
        components = components.schemas_from_iter(told.schemas);
        paths.add_path_operation(route.path, vec![method(&route.method)], told.operation);
        tags.push(tag(route.path));
    }
    tags.dedup();
    OpenApiBuilder::new()
        .openapi(OpenApiVersion::Version31)
        .info(
            InfoBuilder::new()
                .title("Postern")
                .version(wire::API_VERSION.to_string())
                .description(Some(ABOUT))
                .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build())),
        )
        .servers(Some([ServerBuilder::new().url(BELOW).build()]))
        .paths(paths)
        .components(Some(scheme(components)))
        .security(Some([SecurityRequirement::new(SCHEME, [""; 0])]))
        .tags(Some(tags.into_iter().map(|name| TagBuilder::new().name(name).build())))
        .build()
}

/// Whether a route is served over the network: numbers for Prometheus are not.
pub fn is_of_network(path: &str) -> bool {
    path.starts_with("/v1/")
}

fn scheme(components: ComponentsBuilder) -> Components {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key of a person, as `postern person key add` prints it once."))
        .build();
    components.security_scheme(SCHEME, SecurityScheme::Http(bearer)).build()
}

fn told(route: &Route) -> Telling {
    let variable =
        route.path.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(name, _)| name);
    let operation = OperationBuilder::new()
        .operation_id(Some(route.name))
        .summary(Some(route.summary))
        .description(Some(who_may(route)))
        .tag(tag(route.path));
    let mut told = Telling { operation, variable, schemas: Vec::new(), reads: false };
    (route.tell)(&mut told);
    let more = [(told.reads, &OF_READING[..]), (route.method != Method::GET, &OF_CHANGE[..])];
    let more = more.into_iter().filter(|(has, _)| *has).flat_map(|(_, statuses)| statuses);
    for status in OF_ALL.iter().chain(more) {
        let said = Ref::from_response_name(status.as_str());
        told.operation = told.operation.response(status.as_str(), said);
    }
    told
}

/// Which roles may ask, from the one table.
fn who_may(route: &Route) -> String {
    let said = |wanted: Right| {
        let has_it = |role: &Role| right(route.verb, *role) == wanted;
        let those: Vec<_> = Role::ALL.into_iter().filter(has_it).map(Role::word).collect();
        (!those.is_empty()).then(|| those.join(", "))
    };
    let all = said(Right::All).map(|roles| format!("For everybody: {roles}."));
    let own = said(Right::Own).map(|roles| format!("For what is his own: {roles}."));
    [all, own].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// `users` of `/v1/users/{name}`.
fn tag(path: &'static str) -> &'static str {
    path.split('/').nth(2).unwrap_or_default()
}

fn method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "PUT" => HttpMethod::Put,
        "POST" => HttpMethod::Post,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn refused(status: StatusCode) -> Response {
    let why = match status {
        StatusCode::BAD_REQUEST => {
            "`malformed`: the request is not well formed; the message says what would be right"
        }
        StatusCode::UNAUTHORIZED => "`not_allowed`: no key that is good was shown; why not is not said",
        StatusCode::FORBIDDEN => "`not_allowed`: the key's role, or its person's, does not permit this",
        StatusCode::NOT_FOUND => "`not_found`: there is no such thing",
        StatusCode::CONFLICT => "`conflict`: the thing is in a state that does not permit this",
        StatusCode::PAYLOAD_TOO_LARGE => "`too_large`: the body is larger than the limit",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "`malformed`: the body is not said to be JSON",
        StatusCode::MISDIRECTED_REQUEST => "`malformed`: the request names another server",
        StatusCode::UNPROCESSABLE_ENTITY => "`wrong_code`: a one-time password was wrong, or used before",
        StatusCode::TOO_MANY_REQUESTS => {
            "`throttled`: too many wrong codes, or too many wrong keys from this address"
        }
        _ => "`unavailable`: the service cannot answer now",
    };
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(ErrorBody::name().as_ref()))).build();
    ResponseBuilder::new().description(why).content("application/json", body).build()
}
