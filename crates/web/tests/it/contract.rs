//! The OpenAPI document and the client's types are what is spoken.

use std::collections::BTreeSet;
use std::path::PathBuf;

use sammen_web::http::table;
use sammen_web::{openapi, typescript};
use serde_json::Value;

use crate::house::{Browser, House};

fn document() -> Value {
    openapi::document(table(), "1")
}

#[test]
fn every_route_is_described_and_every_reference_leads_somewhere() {
    let document = document();
    let mut ids = BTreeSet::new();
    for route in table().routes {
        let path = format!("/api/v1{}", route.path);
        let operation = &document["paths"][&path][route.method.as_str().to_lowercase()];
        assert!(operation.is_object(), "{} {path}", route.method);
        assert!(
            ids.insert(operation["operationId"].to_string()),
            "{operation}"
        );
    }
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(to) = map.get("$ref").and_then(Value::as_str) {
                    assert!(document.pointer(&to[1..]).is_some(), "{to}");
                }
                map.values().for_each(|v| walk(v, document));
            }
            Value::Array(list) => list.iter().for_each(|v| walk(v, document)),
            _ => {}
        }
    }
    walk(&document, &document);
}

#[tokio::test]
async fn the_node_gives_the_document() {
    let house = House::new().await;
    let given = house
        .get(&Browser::default(), "/openapi.json")
        .await
        .is(200);
    assert_eq!(given["openapi"], "3.1.0");
    assert_eq!(given["paths"], document()["paths"]);
}

/// `make types` writes the files; everyone else is told when they are stale.
#[test]
fn the_clients_types_and_the_book_are_the_nodes() {
    let document = document();
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = [
        ("client/src/api/types.ts", typescript::types(&document)),
        ("docs/openapi.json", text),
    ];
    for (name, made) in files {
        let file = root.join(name);
        if std::env::var_os("SAMMEN_WRITE_TYPES").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &made).unwrap();
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(there == made, "{name} is stale: run `make types`");
    }
}
