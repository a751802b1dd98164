//! `cardinal`: the command line in front of the key manager and the node.
//!
//! It is a client of their two local sockets, and it starts them as its children for `demo` and `up`. It never sees a
//! private key: a PIN goes to the key manager sealed, and the export log is read offline.

mod agent;
mod args;
mod audit;
mod bot;
mod card;
mod chat;
mod client;
mod clock;
mod demo;
mod doctor;
mod down;
mod error;
mod folder;
mod hold;
mod keymgr;
mod keys;
mod lend;
mod lines;
mod lock;
mod network;
mod node;
mod output;
mod paths;
mod pin;
mod policy;
mod process;
mod secret;
mod selftest;
mod signals;
mod system;
mod unlock;
mod up;

use std::process::ExitCode;

use args::{Cli, Verb};
use error::CliError;
use output::{Output, json_line, shown, unwritten};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;

fn main() -> ExitCode {
    // A crash must not write a PIN to the disk; the children inherit this.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    let cli = match Cli::parse_from_env() {
        Ok(cli) => cli,
        Err(error) => {
            let usage = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            // Help and version are no errors, but may be what somebody wants to keep.
            let printed = error.print().and_then(|()| std::io::Write::flush(&mut std::io::stdout()));
            return match printed.map_err(|error| unwritten(&error)) {
                Err(why) if !error.use_stderr() => {
                    complain(Output::new(false), &why);
                    ExitCode::from(why.exit_code())
                }
                _ => usage,
            };
        }
    };
    let out = Output::new(cli.json);
    match system::ask(cli.keymgr, cli.keymgr_user).and_then(|()| run(out, cli.verb)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(out, &error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(out: Output, verb: Verb) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::Other(format!("no threads: {error}")))?;
    let done = runtime.block_on(async {
        match verb {
            Verb::Demo => demo::run(out).await,
            Verb::Up(args) => up::run(out, args).await,
            Verb::Down => down::run(out).await,
            Verb::Chat(args) => chat::run(out, args).await,
            Verb::Bot(args) => bot::run(out, args).await,
            Verb::Unlock(args) => unlock::run(out, args).await,
            Verb::Lock(args) => lock::run(out, args).await,
            Verb::Card(verb) => card::run(out, *verb).await,
            Verb::Audit(verb) => audit::run(out, *verb).await,
            Verb::Node(verb) => node::run(out, verb).await,
            Verb::Keymgr(verb) => keymgr::run(out, verb).await,
            Verb::Keys(verb) => keys::run(out, verb).await,
            Verb::Policy(verb) => policy::run(out, verb).await,
            Verb::Agent(args) => agent::run(out, args).await,
            Verb::Readers => doctor::list(out).await,
            Verb::Doctor => doctor::run(out).await,
            Verb::Selftest(args) => selftest::run(out, args).await,
        }
    });
    // A thread that waits for a terminal or a pipe is left behind.
    runtime.shutdown_background();
    done.map_err(doctor::naming_holders)
}

/// Says in one line what went wrong. Nobody reading our output is no trouble worth a word.
fn complain(out: Output, error: &CliError) {
    use std::io::Write as _;
    let text = error.to_string();
    let line = match error {
        CliError::BrokenPipe | CliError::Said { .. } => return,
        _ if out.is_json() => {
            let name = error.fault().map_or("error", proto::rpc::Fault::name);
            json_line(&json!({ "error": name, "code": error.exit_code(), "message": text })).unwrap_or_default()
        }
        // A refusal shows lines to copy; whatever stands in them, none can pass for one of ours.
        _ if error.fault() == Some(proto::rpc::Fault::Refused) => {
            let lines: Vec<String> = text.lines().map(shown).collect();
            format!("cardinal: {}", lines.join("\n  "))
        }
        _ => format!("cardinal: {}", shown(&text)),
    };
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
