//! docs/matrix-api.md is what the Matrix side answers: nothing more, nothing less.

use sammen_matrix::routes::Endpoint;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/matrix-api.md");

/// Method, path, state and notes of a line of a table.
fn row(line: &str) -> Option<[&str; 4]> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let &[method, path, state, notes] = &cells[..] else {
        return None;
    };
    let path = path.strip_prefix('`')?.strip_suffix('`')?;
    Some([method, path, state, notes])
}

/// Whether an endpoint of the code is the one that the page names. What is fixed there may be a variable here.
fn is(endpoint: &Endpoint, method: &str, path: &str) -> bool {
    // An empty last part (the state key of `…/state/{type}/`) is none.
    let code = endpoint.path.trim_end_matches('/').split('/');
    let page = path.trim_end_matches('/').split('/');
    endpoint.method.as_str() == method
        && code.clone().count() == page.clone().count()
        && code.zip(page).all(|(c, p)| c == p || c.starts_with('{'))
}

#[test]
fn the_page_names_what_the_code_answers() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let table = sammen_matrix::http::table().endpoints;
    let mut faults = Vec::new();
    let mut now = String::new();
    let mut named = Vec::new();
    for line in page.lines() {
        let mut line = line.to_owned();
        if let Some([method, path, state, notes]) = row(&line.clone()) {
            named.push((method.to_owned(), path.to_owned()));
            let there = table.iter().any(|e| is(e, method, path));
            match (state, there) {
                ("yes", true) | ("no", false) => {}
                ("partial" | "refused", true) if !notes.is_empty() => {}
                _ => {
                    faults.push(format!("{method} {path}: {state}, and there: {there}"));
                    let state = if there { "yes" } else { "no" };
                    line = format!("| {method} | `{path}` | {state} | {notes} |");
                }
            }
        }
        now.push_str(&line);
        now.push('\n');
    }
    // Older and unstable forms need no line of their own.
    let stable = |e: &&Endpoint| {
        e.path.starts_with("/_matrix/client/v")
            || e.path.starts_with("/_matrix/media/v")
            || e.path.starts_with("/.well-known/")
    };
    for endpoint in table.iter().filter(stable) {
        if !named.iter().any(|(m, p)| is(endpoint, m, p)) {
            let Endpoint { method, path, .. } = endpoint;
            faults.push(format!("{method} {path} has no line"));
        }
    }
    if std::env::var_os("SAMMEN_WRITE_ENDPOINTS").is_some() {
        std::fs::write(PAGE, now).unwrap();
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
