//! The document tells of every route that is served, and of nothing else.

use std::collections::BTreeSet;

use super::*;
use crate::http::admin::document::{BELOW, is_of_network};

async fn document() -> Value {
    serde_json::from_slice(&Trial::new().await.service.administration.document()).unwrap()
}

/// Every `$ref` below a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(to)) = fields.get("$ref") {
                found.insert(to.clone());
            }
            fields.values().for_each(|inner| references(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

// covers: I05
#[tokio::test]
async fn every_route_is_told_with_what_it_takes_and_answers() {
    let document = document().await;
    assert_eq!((&document["openapi"], &document["servers"][0]["url"]), (&json!("3.1.0"), &json!(BELOW)));
    let (routes, mut names) = (super::super::table::routes(), BTreeSet::new());
    let served: Vec<_> = routes.added().iter().filter(|route| is_of_network(route.path)).collect();
    for route in &served {
        let told = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
        assert!(
            names.insert(told["operationId"].as_str().expect("a name").to_owned()),
            "{route:?}: told twice"
        );
        assert!(!told["summary"].as_str().unwrap().is_empty(), "{route:?}");
        assert!(told["description"].as_str().unwrap().starts_with("For "), "{route:?}");
        let answer = &told["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        assert!(answer.is_string(), "{route:?} does not tell its answer: {told}");
        for status in ["401", "403", "413", "415", "421", "429", "503"] {
            assert!(told["responses"][status].is_object(), "{route:?} {status}");
        }
        let variables = told["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "path");
        assert_eq!(variables.count(), route.path.matches('{').count(), "{route:?}");
    }
    let told: usize =
        document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(told, served.len(), "it tells of what is not served");
    assert!(!document["paths"].as_object().unwrap().contains_key("/metrics"));
}

// covers: I05
#[tokio::test]
async fn whatever_it_speaks_of_it_has() {
    let document = document().await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 60, "{} references", found.len());
    for to in found {
        let pointer = to.strip_prefix('#').expect("inside the document");
        assert!(document.pointer(pointer).is_some(), "{to} is nowhere");
    }
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    assert_eq!(document["security"], json!([{"key": []}]));
    let wish = &document["components"]["schemas"]["SetOtp"];
    assert_eq!((&wish["additionalProperties"], &wish["required"]), (&json!(false), &json!(["otp"])));
    let text = document.to_string();
    assert!(!text.contains("[`") && !text.contains("crate::"), "links of the source stay in the source");
}
