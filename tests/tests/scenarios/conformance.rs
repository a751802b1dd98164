//! `docs/conformance.md` names only tests that exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The packages of this workspace and their folders.
const PACKAGES: [(&str, &str); 11] = [
    ("proto", "proto"),
    ("keycard", "keycard"),
    ("softcard", "keycard/soft"),
    ("readers", "keycard/readers"),
    ("audit", "keymgr/audit"),
    ("keymgr", "keymgr"),
    ("wire", "node/wire"),
    ("chat", "node/chat"),
    ("node", "node"),
    ("cli", "cli"),
    ("scenarios", "tests"),
];

/// Requirements of the specifications' texts and of what status-go does beyond them.
const REQUIREMENTS: usize = 641;

/// A line of the table.
struct Row<'a> {
    id: &'a str,
    tests: Vec<&'a str>,
}

fn rows(table: &str) -> Vec<Row<'_>> {
    let row = |line: &'_ str| -> Option<(usize, usize)> {
        let mut bars = line.match_indices('|').map(|(at, _)| at);
        (bars.next() == Some(0)).then_some(())?;
        Some((bars.next()?, bars.next()?))
    };
    let cells = table.lines().filter_map(|line| row(line).map(|(a, b)| (line[1..a].trim(), line[a + 1..b].trim())));
    cells
        .filter(|(id, _)| is_id(id))
        .map(|(id, tests)| {
            let tests = if tests == "not yet" { Vec::new() } else { tests.split(',').map(str::trim).collect() };
            Row { id, tests }
        })
        .collect()
}

/// `AREA-12`.
fn is_id(cell: &str) -> bool {
    let Some((area, number)) = cell.split_once('-') else { return false };
    area.starts_with(|c: char| c.is_ascii_uppercase())
        && area.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        && !number.is_empty()
        && number.chars().all(|c| c.is_ascii_digit())
}

/// The source files of a package, those of packages inside its folder left out.
fn sources(root: &Path, folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.join(folder).join("src"), root.join(folder).join("tests")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.join("Cargo.toml").exists() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// Whether a source has a test of that name: `#[test]` or `#[tokio::test]` stands right above it, among other attributes.
fn has_test(source: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().filter(|(_, line)| line.contains(&function)).any(|(at, _)| {
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        attributes.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

/// The scenarios with real peers that the sources list, as `group::name`, and the requirements that each says it shows.
fn scenarios(root: &Path) -> Vec<(String, Vec<String>)> {
    let quoted = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let mut found = Vec::new();
    for file in sources(root, "tests").iter().filter(|file| file.starts_with(root.join("tests/tests/interop"))) {
        let source = std::fs::read_to_string(file).unwrap();
        // The fields of a literal before `run`, which is the last and may have a body.
        let literals: Vec<(&str, &str)> = source
            .split("Scenario {")
            .skip(1)
            .map(|text| text.split_once("run: ").or_else(|| text.split_once("run }")).unwrap_or((text, "")))
            .collect();
        let field = |literal: &str, name: &str| {
            literal.split_once(&format!("{name}: ")).map(|(_, rest)| rest.to_owned()).filter(|rest| !rest.is_empty())
        };
        // `..BASE`: what is not said is that of a constant in the same file, which has no name.
        let base = |rest: &str| {
            let name =
                rest.split_once("..").map(|(_, name)| name.split([' ', '\n', '}']).next().unwrap_or_default())?;
            let (_, constant) = source.split_once(&format!("const {name}: Scenario = Scenario {{"))?;
            constant.split_once("run: ").map(|(fields, _)| fields)
        };
        for (own, rest) in literals {
            let inherited = base(rest).unwrap_or_default();
            let said = |name: &str| field(own, name).or_else(|| field(inherited, name)).unwrap_or_default();
            let (group, name) =
                (quoted(&said("group")), field(own, "name").map(|name| quoted(&name)).unwrap_or_default());
            if let ([group, ..], [name, ..]) = (group.as_slice(), name.as_slice())
                && !name.is_empty()
            {
                let shows = said("shows");
                let shows = shows.split_once(']').map_or("", |(shows, _)| shows);
                found.push((format!("{group}::{name}"), quoted(shows)));
            }
        }
    }
    found
}

/// Whether the package of `crate::module::test` has that test in a file of those modules; or, of `interop::group::name`,
/// whether there is that scenario with real peers.
fn exists(root: &Path, test: &str) -> bool {
    if let Some(scenario) = test.strip_prefix("interop::") {
        return scenarios(root).iter().any(|(name, _)| name == scenario);
    }
    let path: Vec<&str> = test.split("::").collect();
    let [package, modules @ .., name] = path.as_slice() else { return false };
    let Some((_, folder)) = PACKAGES.iter().find(|(known, _)| known == package) else { return false };
    sources(root, folder).iter().any(|file| {
        let inside = file.strip_prefix(root.join(folder)).unwrap().with_extension("");
        let mut parts = inside.iter().map(|part| part.to_str().unwrap());
        // `mod tests` and `mod.rs` have no say in where a test belongs.
        let found = modules.iter().filter(|module| **module != "tests").all(|module| parts.any(|part| part == *module));
        found && has_test(&std::fs::read_to_string(file).unwrap(), name)
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

#[test]
fn conformance_table_names_only_tests_that_exist() {
    let path = root().join("docs/conformance.md");
    let Ok(table) = std::fs::read_to_string(&path) else {
        panic!("docs/conformance.md is missing: it says which test shows which requirement");
    };
    let rows = rows(&table);
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.id).collect();
    assert_eq!(rows.len(), ids.len(), "a requirement is listed twice");
    assert_eq!(ids.len(), REQUIREMENTS, "requirements listed");
    let missing: Vec<String> = rows
        .iter()
        .flat_map(|row| row.tests.iter().map(|test| (row.id, *test)))
        .filter(|(_, test)| !exists(&root(), test))
        .map(|(id, test)| format!("{id}: {test}"))
        .collect();
    assert!(missing.is_empty(), "tests that do not exist:\n{}", missing.join("\n"));
}

#[test]
fn scenarios_with_real_peers_have_names_of_their_own_and_show_requirements_that_exist() {
    let table = std::fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let ids: BTreeSet<&str> = rows(&table).iter().map(|row| row.id).collect();
    let scenarios = scenarios(&root());
    let names: BTreeSet<&str> = scenarios.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), scenarios.len(), "two scenarios have one name");
    assert!(names.contains("rlpx::every_disconnect_reason_is_understood_both_ways"), "{names:?}");
    for (name, shows) in &scenarios {
        let unknown: Vec<&String> = shows.iter().filter(|id| !ids.contains(id.as_str())).collect();
        assert!(unknown.is_empty(), "{name} shows {unknown:?}");
    }
}

#[test]
fn the_search_finds_what_is_there_and_nothing_else() {
    let here = "scenarios::conformance::the_search_finds_what_is_there_and_nothing_else";
    assert!(exists(&root(), here));
    assert!(exists(&root(), "chat::engine::tests::two_people_talk"));
    assert!(exists(&root(), "chat::engine::two_people_talk"));
    assert!(exists(&root(), "interop::rlpx::an_idle_connection_is_kept_by_pings"));
    for absent in [
        "chat::clock::two_people_talk",
        "wire::engine::two_people_talk",
        "chat::engine::two_people",
        "nobody::engine::two_people_talk",
        "scenarios::conformance::has_test",
        "two_people_talk",
        "interop::waku::an_idle_connection_is_kept_by_pings",
        "interop::rlpx::a_scenario_of_nobody",
        "",
    ] {
        assert!(!exists(&root(), absent), "{absent}");
    }
}

#[test]
fn the_table_is_read_line_by_line() {
    let table = "| id | shown by | note |\n| --- | --- | --- |\n| CLIENT-01 | a::b, c::d | x |\n|WAKU1-2|not yet|MUST: a | b|\ntext\n";
    let rows = rows(table);
    let read: Vec<_> = rows.iter().map(|row| (row.id, row.tests.clone())).collect();
    assert_eq!(read, [("CLIENT-01", vec!["a::b", "c::d"]), ("WAKU1-2", vec![])]);
}
