//! The description of the API, as committed and as served.

use serde_json::Value;

use super::harness::TestApi;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

#[test]
fn the_committed_description_is_that_of_the_handlers() {
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();

    assert!(
        committed == crate::openapi_json(),
        "docs/openapi.json is out of date; run this file's ignored test to write it anew"
    );
}

#[test]
#[ignore = "writes docs/openapi.json"]
fn write_the_description() {
    std::fs::write(FILE, crate::openapi_json()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_description_is_served() {
    let api = TestApi::new().await;

    let served = api.get("/api/v1/openapi.json").await;

    assert_eq!(served.headers["content-type"], "application/json");
    assert_eq!(served.bytes, crate::openapi_json());
}

#[test]
fn the_description_is_whole() {
    let api: Value = serde_json::from_str(&crate::openapi_json()).unwrap();
    assert_eq!(api["openapi"], "3.1.0");
    let text = api.to_string();
    for (name, _) in api["components"]["schemas"].as_object().unwrap() {
        assert!(
            text.contains(&format!("#/components/schemas/{name}\"")),
            "{name} is unused"
        );
    }
    for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(
            api["components"]["schemas"][name].is_object(),
            "{name} is missing"
        );
    }
    let mut ids = Vec::new();
    for (path, operations) in api["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
            let parameters = operation["parameters"].as_array();
            let of_path = parameters
                .into_iter()
                .flatten()
                .filter(|p| p["in"] == "path");
            assert_eq!(
                of_path.count(),
                path.matches('{').count(),
                "{method} {path}"
            );
            let has_errors = operation["responses"]["default"].is_object();
            let cannot_fail = operation["operationId"] == "v1.health.get";
            assert!(has_errors || cannot_fail, "{method} {path}");
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
}
