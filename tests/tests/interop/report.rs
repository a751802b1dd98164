//! `audit report --html` in a browser: what a person sees, on the screen and on paper, and that the page does nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use scenarios::peer::{Outcome, Program, Scenario, Tool, World};
use serde_json::{Value, json};

use crate::geth::{SOON, same};

const fn scenario(name: &'static str, run: fn(&World) -> Outcome) -> Scenario {
    const WITH: &[Tool] = &[Tool::Chromium, Tool::Pdftotext, Tool::Cardinal, Tool::Keymgr];
    Scenario { group: "report", name, peers: WITH, shows: &[], within: Duration::from_secs(240), run }
}

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("every_report_of_the_drill_is_a_page_that_does_nothing_but_be_read", drill),
    scenario("attack_text_that_others_chose_is_text_on_the_page_and_on_paper", hostile),
];

/// A browser with one page open.
struct Browser {
    program: Program,
    session: String,
    next: u64,
    /// Events of the page that is open.
    events: Vec<Value>,
}

impl Browser {
    fn open(world: &World) -> Outcome<Self> {
        let program = world.start(Tool::Chromium, &[])?;
        let mut browser = Self { program, session: String::new(), next: 0, events: Vec::new() };
        let target = browser.asks("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.asks("Target.attachToTarget", &attach)?;
        attached["sessionId"].as_str().ok_or("a page without a session")?.clone_into(&mut browser.session);
        for domain in ["Page", "Network", "Runtime", "Log", "Debugger", "Security"] {
            browser.asks(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Gives a command to the page, and keeps the events that come before the answer.
    fn asks(&mut self, method: &str, parameters: &Value) -> Outcome<Value> {
        self.next += 1;
        let id = self.next;
        let mut line = json!({"id": id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            line["sessionId"] = json!(self.session);
        }
        self.program.send(&line);
        let answer = self.program.wait_for(method, SOON, |line| line["id"] == id)?;
        match answer.get("error") {
            Some(error) => Err(format!("{method}: {error}").into()),
            None => Ok(answer["result"].clone()),
        }
    }

    /// Loads a page from its file, and fails if it did anything but be there.
    fn loads(&mut self, page: &Path) -> Outcome {
        self.program.drain();
        self.asks("Page.navigate", &json!({"url": format!("file://{}", page.display())}))?;
        self.program.wait_for("the end of loading", SOON, |line| line["method"] == "Page.loadEventFired")?;
        // What came later than the load, if there was anything, comes before this answer.
        self.asks("Page.getNavigationHistory", &json!({}))?;
        self.events = self.program.drain();
        let told = |method: &str| self.events.iter().filter(|event| event["method"] == method).collect::<Vec<_>>();
        for nothing in [
            "Debugger.scriptParsed",
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
            "Page.javascriptDialogOpening",
        ] {
            same(nothing, told(nothing).first().map(ToString::to_string), None)?;
        }
        let requests: Vec<String> = told("Network.requestWillBeSent")
            .iter()
            .map(|event| event["params"]["request"]["url"].to_string())
            .collect();
        same("requests", requests.len(), 1)?;
        same("the request", requests[0].contains("file:///"), true)
    }

    /// Computes something about the page.
    fn sees(&mut self, expression: &str) -> Outcome<Value> {
        let result = self.asks("Runtime.evaluate", &json!({"expression": expression, "returnByValue": true}))?;
        match result.get("exceptionDetails") {
            Some(details) => Err(format!("{expression}: {details}").into()),
            None => Ok(result["result"]["value"].clone()),
        }
    }

    /// Prints the page, and returns the text of each sheet.
    fn prints(&mut self, world: &World, folder: &Path) -> Outcome<Vec<String>> {
        let printed = self.asks("Page.printToPDF", &json!({"preferCSSPageSize": true}))?;
        let pdf = folder.join("page.pdf");
        fs::write(folder.join("page.base64"), printed["data"].as_str().ok_or("no PDF")?)?;
        let decoded = Command::new("base64").arg("--decode").arg(folder.join("page.base64")).output()?;
        fs::write(&pdf, decoded.stdout)?;
        let mut reader = Command::new(world.place().find(Tool::Pdftotext)?);
        let read = reader.arg("-layout").arg(&pdf).arg("-").stderr(Stdio::inherit()).output()?;
        same("pdftotext", read.status.code(), Some(0))?;
        let text = String::from_utf8(read.stdout)?;
        // A form feed ends each sheet.
        Ok(text.split_terminator('\u{c}').map(str::to_owned).collect())
    }
}

/// Writes the report of a log.
fn report(world: &World, log: &Path, page: &Path) -> Outcome {
    let mut cardinal = Command::new(world.place().find(Tool::Cardinal)?);
    cardinal.args(["audit", "report", "--ca", "test", "--html"]).arg(page).arg(log).stdout(Stdio::null());
    same("the report", cardinal.status()?.success(), true)
}

/// Compares the rows of the page with what the log asks and refuses, line by line.
fn has_its_rows(browser: &mut Browser, log: &Path) -> Outcome<usize> {
    let rows = browser.sees(ROWS)?;
    let rows = rows.as_array().ok_or("no rows")?;
    let mut found = 0;
    for line in fs::read(log)?.split(|byte| *byte == b'\n') {
        let Ok(entry) = serde_json::from_slice::<Value>(line) else { continue };
        let event = &entry["event"];
        let asked = ["intent", "refusal"].iter().find_map(|kind| event.get(kind));
        let Some(purpose) = asked.and_then(|asked| asked["purpose"].as_str()) else { continue };
        let line = entry["seq"].to_string();
        let is_its = |row: &&Value| {
            let of = row[0].as_str().unwrap_or_default();
            of.split(", ").next() == Some(line.as_str()) && row[4] == purpose
        };
        if !rows.iter().any(|row| is_its(&row)) {
            return Err(format!("line {line} ({purpose}) of {} is not on the page", log.display()).into());
        }
        found += 1;
    }
    Ok(found)
}

fn drill(world: &World) -> Outcome {
    let folder = tempfile::tempdir()?;
    let kept = folder.path().join("drill");
    let mut perform = Command::new(world.place().find(Tool::Cardinal)?);
    let performed = perform.args(["audit", "drill", "--keep"]).arg(&kept).stdout(Stdio::null()).status()?;
    same("the drill", performed.success(), true)?;
    let mut browser = Browser::open(world)?;
    let (mut pages, mut rows, mut sheets, mut verdicts) = (0, 0, 0, BTreeSet::new());
    let mut folders: Vec<_> =
        fs::read_dir(&kept)?.collect::<Result<Vec<_>, _>>()?.iter().map(fs::DirEntry::path).collect();
    folders.sort();
    for log in folders.iter().map(|folder| folder.join("export.log")).filter(|log| log.exists()) {
        let page = folder.path().join(format!("{pages}.html"));
        report(world, &log, &page)?;
        browser.loads(&page)?;
        rows += has_its_rows(&mut browser, &log)?;
        same("the title", browser.sees("document.title")?, json!("What left the card"))?;
        let verdict = browser.sees("document.querySelector('.verdict strong').textContent")?;
        let verdict = verdict.as_str().unwrap_or_default().to_owned();
        // The verdict is seen first: at the top of the screen, and in the colour of its kind.
        let seen = browser.sees("document.querySelector('.verdict').getBoundingClientRect().top < innerHeight / 2")?;
        same("the verdict is at the top", &seen, &json!(true))?;
        pages += 1;
        // Paper looks alike where the verdict is the same.
        if !verdicts.insert(verdict.clone()) {
            continue;
        }
        let paper = browser.prints(world, folder.path())?;
        let first = unbroken(paper.first().map(String::as_str).unwrap_or_default());
        for wanted in ["What left the card", &verdict] {
            same(wanted, first.contains(&unbroken(wanted)), true)?;
        }
        same("the last sheet", paper.last().is_some_and(|sheet| !sheet.trim().is_empty()), true)?;
        sheets += paper.len();
    }
    println!("{pages} reports with {} verdicts, {rows} rows, {sheets} sheets of paper", verdicts.len());
    same("reports and rows", pages >= 10 && rows >= 10, true)
}

/// A program whose name is markup asks for what it does not get.
fn hostile(world: &World) -> Outcome {
    let folder = tempfile::tempdir()?;
    let home = folder.path();
    let run = home.join("cardinal/ada");
    let state = home.join("cardinal/profiles/ada/keymgr");
    for folder in [&run, &state] {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    fs::write(home.join("manifest.toml"), "")?;
    let keymgr = world.place().find(Tool::Keymgr)?;
    let made =
        Command::new(&keymgr).args(["soft-create", "own", "--dir"]).arg(&state).stdout(Stdio::null()).status()?;
    same("a card", made.success(), true)?;
    let mut command = Command::new(&keymgr);
    command.args(["run", "--reader", "soft:own", "--allow-test-ca", "--until-stdin-closes", "--dir"]).arg(&state);
    command.arg("--socket").arg(run.join("keymgr.sock")).arg("--manifest").arg(home.join("manifest.toml"));
    let mut manager = Program::spawn(command)?;
    world.hold(&manager);
    manager.wait_for("its ready line", SOON, |line| line["ready"] == true)?;

    let evil = home.join(NAME);
    fs::copy(world.place().find(Tool::Cardinal)?, &evil)?;
    for (name, text) in [("pin", "493817\n"), ("puk", "201938475601\n")] {
        fs::write(home.join(name), text)?;
    }
    let says = |words: &str| -> Outcome<String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("cd \"$HOME\" && \"$EVIL\" --json {words}")]).env("EVIL", &evil).env("HOME", home);
        let output = shell.env("XDG_DATA_HOME", home).env("XDG_RUNTIME_DIR", home).stdin(Stdio::null()).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let info: Value = serde_json::from_str(&says("card info")?)?;
    let fingerprint = info["fingerprint"].as_str().ok_or("a card without a fingerprint")?;
    says(&format!("card init --confirm {fingerprint} --pin-fd 3 --puk-fd 4 3<pin 4<puk"))?;
    says("card key generate --pin-fd 3 3<pin")?;
    says("unlock --pin-fd 3 3<pin")?;
    says(&format!("keys sign --path m/0 --purpose 'not allowed' {}", "00".repeat(32)))?;
    same("the manager's end", manager.close(SOON)?.success(), true)?;

    let (log, page) = (state.join("export.log"), home.join("page.html"));
    same("its name is in the log", fs::read_to_string(&log)?.contains("onerror"), true)?;
    report(world, &log, &page)?;
    let mut browser = Browser::open(world)?;
    browser.loads(&page)?;
    same("rows", has_its_rows(&mut browser, &log)? >= 2, true)?;
    let elements = "document.querySelectorAll('img, script, svg, iframe, object, embed, form, link, a, [onerror], [onload]').length";
    same("elements that do something", browser.sees(elements)?, json!(0))?;
    same("what it would have done", browser.sees("typeof pwned")?, json!("undefined"))?;
    let shown =
        browser.sees("[...document.querySelectorAll('tr.refused td.who')].map(cell => cell.textContent).join()")?;
    same("its name is text", shown.as_str().unwrap_or_default().contains(NAME), true)?;
    let paper = browser.prints(world, home)?.concat();
    let paper = unbroken(&paper);
    same("and so it is on paper", paper.contains("onerror") && paper.contains("notallowed"), true)
}

/// On paper a line is broken where it ends.
fn unbroken(text: &str) -> String {
    text.split_whitespace().collect()
}

/// A file's name that is markup.
const NAME: &str = "<img src=x onerror='pwned=1'>&amp;";
/// The cells of the last table, row by row.
const ROWS: &str = "[...[...document.querySelectorAll('table')].at(-1).tBodies[0].rows]
    .map(row => [...row.cells].map(cell => cell.textContent))";
