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
            declares_its_errors(&api, &format!("{method} {path}"), operation);
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
}

/// The statuses that an operation names are all there are: nothing is left to a default.
fn declares_its_errors(api: &Value, name: &str, operation: &Value) {
    let responses = operation["responses"].as_object().unwrap();
    assert!(!responses.contains_key("default"), "{name}");
    let succeeds = responses.keys().any(|status| status.starts_with('2'));
    assert!(succeeds, "{name} says nothing of success");
    for (status, response) in responses {
        let Some(reference) = response["$ref"].as_str() else {
            continue;
        };
        let place = reference.strip_prefix('#').unwrap();
        let shape = api.pointer(place).unwrap()["content"].as_object().unwrap();
        let kind = &shape["application/problem+json"]["schema"]["$ref"];
        let is_list = kind == "#/components/schemas/ValidationProblem";
        assert_eq!(is_list, status == "422", "{name} {status}");
    }
    let mut always = vec!["400", "408", "414", "431", "500", "503"];
    if operation["security"].is_array() {
        always.push("401");
    }
    if operation["requestBody"].is_object() {
        always.extend(["409", "413", "415", "422", "507"]);
    }
    for status in always {
        assert!(responses.contains_key(status), "{name} lacks {status}");
    }
}

#[test]
fn every_error_is_described_under_its_status() {
    let api: Value = serde_json::from_str(&crate::openapi_json()).unwrap();
    let described = api["components"]["responses"].as_object().unwrap();

    for code in crate::Code::ALL {
        let line = format!("- `{}`: ", code.slug());
        let found = described
            .values()
            .filter(|response| response["description"].as_str().unwrap().contains(&line));
        assert_eq!(found.count(), 1, "{}", code.slug());
    }
}

/// What makes a client out of the description gives these fields a type for times.
#[test]
fn a_point_in_time_is_described_as_one() {
    let api: Value = serde_json::from_str(&crate::openapi_json()).unwrap();
    let schemas = api["components"]["schemas"].as_object().unwrap();
    let mut seen = 0;

    for (name, schema) in schemas {
        for (field, of) in schema["properties"].as_object().into_iter().flatten() {
            if field.ends_with("At") || ["timestamp", "nextAttempt"].contains(&field.as_str()) {
                assert_eq!(of["format"], "date-time", "{name}.{field}");
                seen += 1;
            }
        }
    }

    assert!(seen > 20, "only {seen}");
}

#[test]
fn a_list_in_a_query_is_described_as_one() {
    let api: Value = serde_json::from_str(&crate::openapi_json()).unwrap();

    for path in [
        "/api/v1/app/{app_id}/msg",
        "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg",
        "/api/v1/app/{app_id}/attempt/msg/{msg_id}",
        "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}",
    ] {
        let parameters = api["paths"][path]["get"]["parameters"].as_array().unwrap();
        let types = parameters.iter().find(|of| of["name"] == "event_types");
        let schema = &types.unwrap()["schema"];
        assert_eq!(schema["type"][0], "array", "{path}");
        assert_eq!(schema["items"]["type"], "string", "{path}");
    }
}
