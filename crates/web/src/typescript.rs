//! The client's TypeScript types, made of the schemas of the OpenAPI document: one source for both.

use serde_json::{Map, Value};

/// The file's text.
pub fn types(document: &Value) -> String {
    let mut out = String::from(
        "// Made of the node's own types by `make types`: change crates/web/src/types instead.\n",
    );
    let none = Map::new();
    let schemas = document
        .pointer("/components/schemas")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    for (name, schema) in schemas {
        out.push('\n');
        comment(schema, "", &mut out);
        let variants = schema.get("oneOf").and_then(Value::as_array);
        match variants {
            Some(variants) => {
                out.push_str(&format!("export type {name} =\n"));
                let last = variants.len().saturating_sub(1);
                for (n, variant) in variants.iter().enumerate() {
                    comment(variant, "  ", &mut out);
                    let end = if n == last { ";" } else { "" };
                    out.push_str(&format!("  | {}{end}\n", of(variant, 1)));
                }
            }
            None if schema.get("properties").is_some() => {
                out.push_str(&format!("export interface {name} {}\n", of(schema, 0)));
            }
            None => out.push_str(&format!("export type {name} = {};\n", of(schema, 0))),
        }
    }
    out
}

fn comment(schema: &Value, indent: &str, out: &mut String) {
    if let Some(text) = schema.get("description").and_then(Value::as_str) {
        let text = text.replace("*/", "* /").replace('\n', " ");
        out.push_str(&format!("{indent}/** {text} */\n"));
    }
}

fn of(schema: &Value, depth: usize) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return reference.rsplit('/').next().unwrap_or("unknown").to_owned();
    }
    if let Some(word) = schema.get("const") {
        return word.to_string();
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words.iter().map(Value::to_string).collect();
        return words.join(" | ");
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(any) = schema.get(key).and_then(Value::as_array) {
            let any: Vec<String> = any.iter().map(|s| of(s, depth)).collect();
            return any.join(" | ");
        }
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => "string".into(),
        Some("integer" | "number") => "number".into(),
        Some("boolean") => "boolean".into(),
        Some("array") => match schema.get("prefixItems").and_then(Value::as_array) {
            Some(items) => {
                let items: Vec<String> = items.iter().map(|s| of(s, depth)).collect();
                format!("[{}]", items.join(", "))
            }
            None => {
                let item = schema
                    .get("items")
                    .map_or("unknown".into(), |s| of(s, depth));
                if item.contains('|') {
                    format!("({item})[]")
                } else {
                    format!("{item}[]")
                }
            }
        },
        Some("object") => object(schema, depth),
        _ => "unknown".into(),
    }
}

fn object(schema: &Value, depth: usize) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return match schema.get("additionalProperties") {
            Some(value) if value.is_object() => format!("Record<string, {}>", of(value, depth)),
            _ => "Record<string, never>".into(),
        };
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let indent = "  ".repeat(depth + 1);
    let mut out = String::from("{\n");
    for (name, schema) in properties {
        comment(schema, &indent, &mut out);
        let mark = if required.contains(&name.as_str()) {
            ""
        } else {
            "?"
        };
        out.push_str(&format!(
            "{indent}{name}{mark}: {};\n",
            of(schema, depth + 1)
        ));
    }
    out.push_str(&"  ".repeat(depth));
    out.push('}');
    out
}
