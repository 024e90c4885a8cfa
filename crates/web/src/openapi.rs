//! The OpenAPI document (3.1), made of the table of routes.

use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::auth::{HEADER, Need};
use crate::problem::{MEDIA_TYPE, Problem};
use crate::routes::{BASE, Spoken, Table};
use crate::types::{ClientFrame, Frame};

/// The document of a table.
pub fn document(mut table: Table, version: &str) -> Value {
    let problem = table.schemas.subschema_for::<Problem>();
    // Spoken over the WebSocket; the document is where programs look for their shapes.
    table.schemas.subschema_for::<Frame>();
    table.schemas.subschema_for::<ClientFrame>();
    let mut paths: Map<String, Value> = Map::new();
    for route in &table.routes {
        let path = format!("{BASE}{}", route.path);
        let mut operation = json!({
            "operationId": operation_id(route.method.as_str(), route.path),
            "summary": route.about,
            "tags": [tag(route.path)],
            "responses": responses(route.status, &route.answer, route.need, &problem),
            "security": security(route.need),
            "x-needs": need(route.need),
        });
        let mut parameters: Vec<Value> = path_parameters(route.path);
        parameters.extend(
            route
                .query
                .as_ref()
                .map(query_parameters)
                .unwrap_or_default(),
        );
        if !route.method.is_safe() && !route.path.starts_with("/hooks/") {
            parameters.push(json!({
                "name": "Sammen-Client", "in": "header", "required": true,
                "description": "Any text; shows that the request comes from our own page. Not needed with a token.",
                "schema": { "type": "string", "minLength": 1, "default": "web", "pattern": "^[a-z]+$" },
            }));
            debug_assert!(HEADER.eq_ignore_ascii_case("Sammen-Client"));
        }
        let body = match &route.ask {
            Spoken::Nothing => None,
            Spoken::Json(schema) => Some(("application/json", schema.clone())),
            Spoken::Raw(media_type) => Some((*media_type, binary())),
        };
        if let Some(operation) = operation.as_object_mut() {
            if !parameters.is_empty() {
                operation.insert("parameters".into(), parameters.into());
            }
            if let Some((media_type, schema)) = body {
                operation.insert(
                    "requestBody".into(),
                    json!({ "required": true, "content": { media_type: { "schema": schema } } }),
                );
            }
        }
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(entry) = entry.as_object_mut() {
            entry.insert(route.method.as_str().to_lowercase(), operation);
        }
    }
    let mut schemas = Value::Object(table.schemas.take_definitions(true));
    tidy(&mut schemas);
    let mut paths = Value::Object(paths);
    tidy(&mut paths);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sammen",
            "version": version,
            "description": "The HTTP API of a Sammen node. Times are Unix milliseconds; ids and cursors are opaque; unknown fields of answers are to be ignored, unknown fields of requests are refused.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "session": { "type": "apiKey", "in": "cookie", "name": "__Host-sammen" },
                "token": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}

fn binary() -> Schema {
    schemars::json_schema!({ "type": "string", "format": "binary" })
}

fn need(need: Need) -> &'static str {
    match need {
        Need::Nobody => "nobody",
        Need::Account => "account",
        Need::Passphrase => "passphrase",
        Need::Admin => "admin",
    }
}

fn security(need: Need) -> Value {
    match need {
        Need::Nobody => json!([]),
        Need::Account => json!([{ "session": [] }, { "token": [] }]),
        Need::Passphrase | Need::Admin => json!([{ "session": [] }]),
    }
}

fn responses(status: u16, answer: &Spoken, need: Need, problem: &Schema) -> Value {
    let content = match answer {
        Spoken::Nothing => None,
        Spoken::Json(schema) => Some(json!({ "application/json": { "schema": schema } })),
        Spoken::Raw(media_type) => Some(json!({ *media_type: { "schema": binary() } })),
    };
    let mut good = json!({ "description": "Done" });
    if let (Some(good), Some(content)) = (good.as_object_mut(), content) {
        good.insert("content".into(), content);
    }
    let mut all = Map::new();
    all.insert(status.to_string(), good.clone());
    // What was sent before is answered as it is.
    if status == 201 {
        all.insert("200".into(), good);
    }
    if need > Need::Nobody {
        all.insert("401".into(), faulty("Nobody is signed in", problem));
    }
    all.insert(
        "default".into(),
        faulty("It was not done, and why", problem),
    );
    Value::Object(all)
}

fn faulty(description: &str, problem: &Schema) -> Value {
    json!({ "description": description, "content": { MEDIA_TYPE: { "schema": problem } } })
}

fn tag(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

fn operation_id(method: &str, path: &str) -> String {
    let mut id = method.to_lowercase();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        let part = part.trim_matches(['{', '}']);
        id.push('_');
        id.push_str(&part.replace('-', "_"));
    }
    id
}

fn path_parameters(path: &str) -> Vec<Value> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            json!({
                "name": name, "in": "path", "required": true,
                "schema": { "type": "string", "minLength": 1 },
            })
        })
        .collect()
}

fn query_parameters(schema: &Schema) -> Vec<Value> {
    let value = schema.as_value();
    let required: Vec<&str> = value
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = value.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let about = schema
                .as_object_mut()
                .and_then(|s| s.remove("description"))
                .unwrap_or_default();
            json!({
                "name": name, "in": "query", "required": required.contains(&name.as_str()),
                "description": about, "schema": schema,
            })
        })
        .collect()
}

/// Optional fields are left out, never null: the document says it as simply as it is.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    map.insert("type".into(), one);
                }
            }
            if let Some(Value::Array(any)) = map.get_mut("anyOf") {
                any.retain(|s| s.get("type").is_none_or(|t| t != "null"));
                if let [Value::Object(one)] = any.as_slice() {
                    let one = one.clone();
                    map.remove("anyOf");
                    map.extend(one);
                }
            }
            if map.get("default") == Some(&Value::Null) {
                map.remove("default");
            }
            if let Some(Value::Array(list)) = map.get_mut("enum") {
                list.retain(|v| !v.is_null());
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}
