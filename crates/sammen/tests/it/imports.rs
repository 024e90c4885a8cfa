//! ARCHITECTURE.md's table of imports is what cargo sees.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

type Table = BTreeMap<String, BTreeSet<String>>;

fn short(name: &str) -> &str {
    name.strip_prefix("sammen-").unwrap_or(name)
}

/// Rows such as `| xmpp | core, net |` between the two marks.
fn written() -> Table {
    let text = std::fs::read_to_string(format!("{ROOT}/ARCHITECTURE.md")).unwrap();
    let (_, rest) = text.split_once("<!-- imports -->").unwrap();
    let (table, _) = rest.split_once("<!-- /imports -->").unwrap();
    let rows = table.lines().filter(|l| l.starts_with('|')).skip(2);
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().unwrap().to_owned();
        let list = cells.next().unwrap_or_default().split(',').map(str::trim);
        let list = list.filter(|s| !s.is_empty()).map(str::to_owned).collect();
        (name, list)
    };
    rows.map(row).collect()
}

/// What the manifests say; what only tests use doesn't count.
fn real() -> Table {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let out = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let own: BTreeSet<&str> = packages
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    let row = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let imports = dependencies
            .filter(|d| d["kind"].as_str() != Some("dev"))
            .map(|d| d["name"].as_str().unwrap())
            .filter(|name| own.contains(name))
            .map(|name| short(name).to_owned());
        (
            short(package["name"].as_str().unwrap()).to_owned(),
            imports.collect(),
        )
    };
    packages.iter().map(row).collect()
}

#[test]
fn crates_import_only_what_the_table_allows() {
    let (written, real) = (written(), real());
    let names = |table: &Table| table.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        names(&written),
        names(&real),
        "the crates of ARCHITECTURE.md"
    );
    for (name, imports) in &real {
        let more: Vec<_> = imports.difference(&written[name]).collect();
        assert!(more.is_empty(), "{name} may not import {more:?}");
    }
}
