//! The modules import one way only: what `src/lib.rs` says of it in its table is what the sources do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Module → what it may use; `everything` for the ones that wire.
type Table = BTreeMap<String, Vec<String>>;

#[test]
fn modules_use_what_the_table_allows_and_nothing_else() {
    let (source, table) = (source(), table(&lib()));
    assert!(table.len() > 10, "the table was not found: {table:?}");
    let mut wrong = vec![];
    for (module, allowed) in &table {
        for file in files(&source, module) {
            let forbidden = uses(&source, &file).into_iter().filter(|m| m != module && !allows(allowed, m));
            wrong.extend(forbidden.map(|m| format!("{} uses {m}", file.strip_prefix(&source).unwrap().display())));
        }
    }
    assert!(wrong.is_empty(), "src/lib.rs allows none of this:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_allows_nothing_that_nobody_uses() {
    let source = source();
    let mut idle = vec![];
    for (module, allowed) in table(&lib()) {
        let used: BTreeSet<String> = files(&source, &module).iter().flat_map(|file| uses(&source, file)).collect();
        let unused = allowed.into_iter().filter(|allowed| allowed != "everything" && !used.contains(allowed));
        idle.extend(unused.map(|allowed| format!("{module} does not use {allowed}")));
    }
    assert!(idle.is_empty(), "take these out of the table of src/lib.rs:\n{}", idle.join("\n"));
}

#[test]
fn every_module_is_in_the_table() {
    let text = lib();
    let table = table(&text);
    let modules = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let missing: Vec<_> = modules.filter(|module| !table.contains_key(*module)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::api::chat;\nfn f() { crate::policy::g(); }\nuse crate::{\n    store::Store,\n    trace,\n};\n// crate::server::x\n";
    assert_eq!(used(text, 1), BTreeSet::from(["api", "policy", "store", "trace"].map(String::from)));
    assert_eq!(used("use super::super::api::chat;\nuse super::policy;\n", 2), BTreeSet::from(["api".into()]));
    let source = Path::new("src");
    assert_eq!(["a.rs", "a/mod.rs", "a/b.rs", "a/b/c.rs"].map(|file| depth(source, &source.join(file))), [1, 1, 2, 3]);
    assert_eq!(outside_tests("a\n#[cfg(test)]\nmod tests {\n}\n"), "a\n");
    let declared = "mod a;\n#[cfg(test)]\nmod recorded;\nfn f() {}\n#[cfg(test)]\nmod tests;\n";
    assert_eq!(declared_tests(declared).collect::<Vec<_>>(), ["recorded", "tests"]);
    assert_eq!(declared_tests("#[cfg(test)]\nmod tests {\n}\n").count(), 0);
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn lib() -> String {
    fs::read_to_string(source().join("lib.rs")).unwrap()
}

fn allows(allowed: &[String], module: &str) -> bool {
    allowed.iter().any(|a| a == module || a == "everything")
}

/// The rows `//! | [`module`] | what | may use |`.
fn table(lib: &str) -> Table {
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.filter_map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let module = cells.first()?.strip_suffix("`]")?;
        let uses = cells.last()?.trim_end_matches('|').trim();
        Some((module.to_owned(), uses.split(", ").filter(|m| *m != "–").map(str::to_owned).collect()))
    })
    .collect()
}

/// `module.rs`, and every file below `module/`.
fn files(source: &Path, module: &str) -> Vec<PathBuf> {
    let (single, folder) = (source.join(module).with_extension("rs"), source.join(module));
    let within = if folder.exists() { below(&folder) } else { vec![] };
    let all: Vec<PathBuf> = single.exists().then_some(single).into_iter().chain(within).collect();
    let tests: BTreeSet<PathBuf> = all.iter().flat_map(|file| tests_of(file)).collect();
    all.into_iter().filter(|file| !file.ancestors().any(|above| tests.contains(&above.with_extension("")))).collect()
}

/// The modules of tests that a file declares, as paths without an extension.
fn tests_of(file: &Path) -> Vec<PathBuf> {
    let folder = if file.ends_with("mod.rs") { file.parent().unwrap().to_owned() } else { file.with_extension("") };
    declared_tests(&fs::read_to_string(file).unwrap()).map(|module| folder.join(module)).collect()
}

/// The names after `#[cfg(test)]` and `mod`, of modules in files of their own.
fn declared_tests(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| rest.lines().next()?.strip_suffix(';'))
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).filter(|p| is_rust(p)).collect()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Tests within a module stand at its end and may use what they like.
fn outside_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests").map_or(text, |(code, _)| code)
}

/// What a file of the sources uses, its tests apart.
fn uses(source: &Path, file: &Path) -> BTreeSet<String> {
    used(outside_tests(&fs::read_to_string(file).unwrap()), depth(source, file))
}

/// How often `super` leads from a file to the crate's root.
fn depth(source: &Path, file: &Path) -> usize {
    let within = file.strip_prefix(source).unwrap().components().count();
    if file.ends_with("mod.rs") { within - 1 } else { within }
}

/// Modules named after `crate::`, or after as many `super::` as lead to the root; comments apart.
fn used(text: &str, depth: usize) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join(" ").replace(&"super::".repeat(depth), "crate::");
    code.split("crate::").skip(1).flat_map(heads).collect()
}

/// `api::chat…` → api; `{store::Store, trace}…` → store, trace.
fn heads(path: &str) -> Vec<String> {
    let group = path.strip_prefix('{').and_then(|rest| rest.split('}').next());
    let paths: Vec<&str> = group.map_or_else(|| vec![path], |group| group.split(',').collect());
    let head = |path: &str| path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    paths.into_iter().map(head).filter(|head| !head.is_empty()).collect()
}
