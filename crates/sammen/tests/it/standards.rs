//! docs/standards.md is what the code speaks: nothing more, nothing less, and where it says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sammen_irc::wire::caps::Cap;
use sammen_net::sasl::Mechanism;
use sammen_xmpp::feature::FEATURES;
use sammen_xmpp::iq::Where;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// One line of a table.
struct Row {
    standard: String,
    state: String,
    places: Vec<String>,
    names: Vec<String>,
}

fn page() -> String {
    std::fs::read_to_string(format!("{ROOT}/docs/standards.md")).unwrap()
}

/// All lines of all tables.
fn rows(page: &str) -> Vec<Row> {
    let lines = page.lines().filter(|l| l.starts_with("| "));
    let lines = lines.filter(|l| !l.starts_with("| standard ") && !l.starts_with("| ---"));
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [standard, title, version, state, places, notes] = cells[..] else {
        panic!("six cells: {line}");
    };
    assert!(
        ![standard, title, version].contains(&""),
        "standard, title and version: {line}"
    );
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    let hidden = notes.split_once("<!-- ").map(|(_, rest)| rest);
    let hidden = hidden.map_or("", |h| h.strip_suffix(" -->").expect(line));
    Row {
        standard: standard.to_owned(),
        state: state.to_owned(),
        places: words(&places.replace(['`', ','], " ")),
        names: words(hidden),
    }
}

/// The names that rows answer for; `name*` stands for all that begin so. A name has one row.
fn claimed(rows: &[Row]) -> BTreeMap<&str, &Row> {
    let mut all = BTreeMap::new();
    for row in rows {
        for name in &row.names {
            let twice = all.insert(name.as_str(), row);
            assert!(twice.is_none(), "{name} stands in two rows");
        }
    }
    all
}

/// What of these names no row answers for.
fn missing<'a>(page: &str, names: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let rows = rows(page);
    let claimed = claimed(&rows);
    let answered = |name: &str| {
        let open = claimed.keys().filter_map(|c| c.strip_suffix('*'));
        claimed.contains_key(name) || open.into_iter().any(|start| name.starts_with(start))
    };
    names.into_iter().filter(|n| !answered(n)).collect()
}

/// The files below a folder of `crates/`, without their unit tests.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                let code = code.lines().filter(|l| !l.trim_start().starts_with("//"));
                let code = code.collect::<Vec<_>>().join("\n");
                found.push((path, code));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(ROOT).join("crates").join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} has no source");
    found
}

/// What stands between double quotes in code; close enough where no quote is escaped.
fn literals(code: &str) -> impl Iterator<Item = &str> {
    code.lines().flat_map(|l| l.split('"').skip(1).step_by(2))
}

/// The namespaces of `wire/ns.rs` that a feature uses, by value; with those that only bytes need (`wire/`) or without.
fn namespaces_in_use(bytes: bool) -> BTreeSet<String> {
    let all = sources("xmpp/src");
    let in_wire = |path: &Path| path.components().any(|c| c.as_os_str() == "wire");
    let features = all.iter().filter(|(path, _)| bytes || !in_wire(path));
    let code: String = features.map(|(_, code)| code.as_str()).collect();
    let (_, list) = all.iter().find(|(p, _)| p.ends_with("wire/ns.rs")).unwrap();
    let constants = list.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(" = \"")?;
        let (value, _) = rest.split_once('"')?;
        Some((name, value))
    });
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let used = |name: &str| {
        let spelled = format!("ns::{name}");
        code.match_indices(&spelled)
            .any(|(at, s)| !code[at + s.len()..].starts_with(is_word))
    };
    let named = constants.filter(|(name, _)| used(name));
    let mut found: BTreeSet<String> = named.map(|(_, value)| value.to_owned()).collect();
    assert!(found.len() > 60, "the list of namespaces is read wrongly");
    // And those that features spell out themselves.
    let looks_so = |s: &&str| {
        ["urn:xmpp:", "http://jabber.org/", "jabber:"]
            .iter()
            .any(|start| s.starts_with(start))
            && !s.contains(' ')
    };
    found.extend(literals(&code).filter(looks_so).map(str::to_owned));
    found
}

#[test]
fn rows_say_yes_partial_or_no_and_lead_to_code() {
    for row in rows(&page()) {
        let name = &row.standard;
        match row.state.as_str() {
            "yes" | "partial" => assert!(!row.places.is_empty(), "{name}: where?"),
            "no" => assert!(
                row.places.is_empty(),
                "{name}: there is code, so it is partial"
            ),
            other => panic!("{name}: {other:?} is neither yes, partial nor no"),
        }
        for place in &row.places {
            let path = Path::new(ROOT).join("crates").join(place);
            assert!(path.exists(), "{name}: {place} is not there");
        }
    }
}

#[test]
fn every_namespace_in_use_has_a_row() {
    let used = namespaces_in_use(false);
    // How one field of a form is checked, and an old form of delays that is only looked for: no features of their own.
    let parts = [
        "http://jabber.org/protocol/xdata-validate",
        "jabber:x:delay",
    ];
    let used = used.iter().map(String::as_str);
    let missing = missing(&page(), used.filter(|n| !parts.contains(n)));
    assert!(missing.is_empty(), "no row answers for {missing:?}");
}

#[test]
fn every_announced_feature_has_a_row() {
    let places = [
        Where::Server,
        Where::OwnAccount,
        Where::OtherAccount,
        Where::RoomService,
        Where::Room,
        Where::Upload,
    ];
    let announced: BTreeSet<&str> = places
        .into_iter()
        .flat_map(|at| FEATURES.iter().flat_map(move |f| (f.disco)(at)))
        .copied()
        .collect();
    assert!(announced.len() > 40);
    let page = page();
    let missing = missing(&page, announced.iter().copied());
    assert!(missing.is_empty(), "no row answers for {missing:?}");
    let rows = rows(&page);
    for (name, row) in claimed(&rows) {
        let denied = row.state == "no" && announced.contains(name);
        assert!(!denied, "{name} is announced, and {} says no", row.standard);
    }
}

#[test]
fn every_capability_command_token_and_mechanism_has_a_row() {
    let page = page();
    let caps = Cap::ALL.iter().map(|c| c.name());
    let missing_caps = missing(&page, caps);
    assert!(missing_caps.is_empty(), "capabilities: {missing_caps:?}");

    let all = Mechanism::all();
    let missing_ways = missing(&page, all.iter().map(|m| m.name()));
    assert!(missing_ways.is_empty(), "SASL: {missing_ways:?}");

    let irc = sources("irc/src");
    let code = |end: &str| &irc.iter().find(|(p, _)| p.ends_with(end)).unwrap().1;
    let table = code("commands/mod.rs").split_once("commands! {\n").unwrap();
    let verbs: Vec<&str> = table
        .1
        .lines()
        .take_while(|l| !l.starts_with('}'))
        .filter_map(|l| l.trim().strip_prefix('"')?.split('"').next())
        .collect();
    assert!(verbs.len() > 40);
    let missing_verbs = missing(&page, verbs);
    assert!(missing_verbs.is_empty(), "commands: {missing_verbs:?}");

    let set = |l: &str| {
        let (_, rest) = l
            .split_once(".set(\"")
            .or_else(|| l.split_once(".flag(\""))?;
        Some(format!("005:{}", rest.split('"').next()?))
    };
    let server = code("src/server.rs");
    let told = server.split_once("fn isupport").unwrap().1;
    let (told, _) = told.split_once("\n    }\n").unwrap();
    let tokens: Vec<String> = told.lines().filter_map(set).collect();
    assert!(tokens.len() > 20);
    let missing_tokens = missing(&page, tokens.iter().map(String::as_str));
    assert!(missing_tokens.is_empty(), "ISUPPORT: {missing_tokens:?}");
}

#[test]
fn what_a_row_answers_for_is_in_the_code() {
    let mut spelled: BTreeSet<String> = namespaces_in_use(true);
    for folder in ["xmpp/src", "irc/src", "net/src"] {
        for (path, code) in sources(folder) {
            if !path.ends_with("wire/ns.rs") {
                spelled.extend(literals(&code).map(str::to_owned));
            }
        }
    }
    let page = page();
    let rows = rows(&page);
    let gone: Vec<&str> = claimed(&rows)
        .into_keys()
        .filter(|name| {
            let name = name.strip_prefix("005:").unwrap_or(name);
            !name.ends_with('*') && !spelled.contains(name)
        })
        .collect();
    assert!(
        gone.is_empty(),
        "rows answer for what is not there: {gone:?}"
    );
}

#[test]
fn a_missing_row_is_noticed() {
    let page = page();
    let without = |start: &str| -> String {
        let lines = page.lines().filter(|l| !l.starts_with(start));
        lines.collect::<Vec<_>>().join("\n")
    };
    let names = ["urn:xmpp:mam:2", "urn:xmpp:carbons:2"];
    assert!(missing(&page, names).is_empty());
    let less = without("| XEP-0313 |");
    assert_eq!(missing(&less, names), BTreeSet::from(["urn:xmpp:mam:2"]));
    assert_eq!(missing(&page, ["urn:xmpp:nobody:0"]).len(), 1);
}
