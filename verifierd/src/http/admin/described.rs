//! What routes take and answer, told for the document at `/openapi.json`.
//!
//! Nobody writes it down: a handler's own arguments say what it reads, and its own result what it answers. A route that
//! takes or answers what has no description does not compile (see [`super::routes::Routes::add`]).

use std::marker::PhantomData;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder, Schema};
use utoipa::{IntoParams, ToSchema};

use super::Administration;
use super::asked::{Asked, Body, BodyOrDefault, Named, Questions};
use super::refusals::Refusal;
use super::routes::Granted;

/// The form of all bodies but those of metrics.
const JSON: &str = "application/json";

/// A route as far as it is told.
pub(super) struct Telling {
    /// What was told already.
    pub(super) operation: OperationBuilder,
    /// The name of the variable in its path.
    pub(super) variable: Option<&'static str>,
    /// The types that it speaks of, by name.
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    /// Whether a request can be refused for what it says, and not only for what is.
    pub(super) reads: bool,
}

impl Telling {
    /// Takes a type in; how others speak of it.
    fn schema<T: ToSchema>(&mut self) -> Ref {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        Ref::from_schema_name(T::name().as_ref())
    }

    fn tell(&mut self, more: impl FnOnce(OperationBuilder) -> OperationBuilder) {
        self.operation = more(std::mem::take(&mut self.operation));
    }
}

/// A handler that tells what it takes and answers.
pub(super) trait Described<T> {
    /// Tells it.
    fn tell(telling: &mut Telling);
}

/// An argument of a handler.
pub(super) trait Argument {
    /// Tells what is read for it.
    fn tell(telling: &mut Telling);
}

/// What a handler answers when all goes well.
pub(super) trait Answer {
    /// Tells it.
    fn tell(telling: &mut Telling);
}

macro_rules! described {
    ($($argument:ident),+) => {
        impl<F, Answering, R, M, $($argument),+> Described<(M, $($argument,)+)> for F
        where
            F: FnOnce($($argument),+) -> Answering,
            Answering: Future<Output = R>,
            R: Answer,
            $($argument: Argument,)+
        {
            fn tell(telling: &mut Telling) {
                $($argument::tell(telling);)+
                R::tell(telling);
            }
        }
    };
}

described!(A);
described!(A, B);
described!(A, B, C);
described!(A, B, C, D);

impl Argument for State<Arc<Administration>> {
    fn tell(_: &mut Telling) {}
}

impl Argument for Granted {
    fn tell(_: &mut Telling) {}
}

impl Argument for Named {
    fn tell(telling: &mut Telling) {
        telling.reads = true;
        let variable = telling.variable.expect("a route whose handler reads a variable has one in its path");
        let parameter = ParameterBuilder::new()
            .name(variable)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1))))
            .build();
        telling.tell(|operation| operation.parameter(parameter));
    }
}

impl<T: Questions + IntoParams> Argument for Asked<T> {
    fn tell(telling: &mut Telling) {
        telling.reads = true;
        let parameters = T::into_params(|| Some(ParameterIn::Query));
        telling.tell(|operation| operation.parameters(Some(parameters)));
    }
}

impl<T: ToSchema> Argument for Body<T> {
    fn tell(telling: &mut Telling) {
        tell_body::<T>(telling, Required::True);
    }
}

impl<T: ToSchema> Argument for BodyOrDefault<T> {
    fn tell(telling: &mut Telling) {
        tell_body::<T>(telling, Required::False);
    }
}

fn tell_body<T: ToSchema>(telling: &mut Telling, required: Required) {
    telling.reads = true;
    let content = ContentBuilder::new().schema(Some(telling.schema::<T>())).build();
    let body = RequestBodyBuilder::new().content(JSON, content).required(Some(required)).build();
    telling.tell(|operation| operation.request_body(Some(body)));
}

impl<T: ToSchema> Answer for Json<T> {
    fn tell(telling: &mut Telling) {
        let content = ContentBuilder::new().schema(Some(telling.schema::<T>())).build();
        let done = ResponseBuilder::new().description("It is done.").content(JSON, content).build();
        telling.tell(|operation| operation.response("200", done));
    }
}

impl<T: Answer> Answer for Result<T, Refusal> {
    fn tell(telling: &mut Telling) {
        T::tell(telling);
    }
}

/// A message that was written already, because its secrets are wiped before the answer leaves.
pub(super) struct Written<T> {
    response: Response,
    message: PhantomData<fn() -> T>,
}

impl<T: Serialize> Written<T> {
    pub(super) fn of(message: &T) -> Self {
        Self { response: Json(message).into_response(), message: PhantomData }
    }
}

impl<T> IntoResponse for Written<T> {
    fn into_response(self) -> Response {
        self.response
    }
}

impl<T: ToSchema> Answer for Written<T> {
    fn tell(telling: &mut Telling) {
        Json::<T>::tell(telling);
    }
}

/// Text for Prometheus.
pub(super) struct MetricsText(pub(super) String);

/// Its form (OpenMetrics 1.0.0).
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl IntoResponse for MetricsText {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, METRICS)], self.0).into_response()
    }
}

impl Answer for MetricsText {
    fn tell(telling: &mut Telling) {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let content = ContentBuilder::new().schema(Some(text)).build();
        let done = ResponseBuilder::new().description("It is done.").content(METRICS, content).build();
        telling.tell(|operation| operation.response("200", done));
    }
}
