//! A line of stdin as a command, or what is wrong with it, in words that name what there is.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A command and the id that its reply bears.
#[derive(Debug)]
pub(super) struct Request {
    /// Whatever the caller chose.
    pub(super) id: Value,
    /// What to do.
    pub(super) command: Command,
}

/// Everything that can be asked for. Arguments that a command does not have are refused.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Command {
    Info {},
    Peers {},
    AddPeer { enode: String },
    RemovePeer { enode: String },
    WaitPeers { count: Option<usize> },
    Transport {},
    SetMinpow { pow: f64 },
    JoinPublic { chat: String },
    LeavePublic { chat: String },
    SendPublic(SendPublic),
    Chats {},
    Messages { chat: String, limit: Option<u32> },
    Quit {},
}

/// The arguments of `send_public`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendPublic {
    pub(super) chat: String,
    pub(super) text: String,
    pub(super) response_to: Option<String>,
    pub(super) count: Option<u32>,
}

/// A line that is no command.
#[derive(Debug)]
pub(super) struct Refused {
    id: Value,
    cmd: Value,
    error: String,
}

impl Command {
    /// Returns its name in lines.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Info {} => "info",
            Self::Peers {} => "peers",
            Self::AddPeer { .. } => "add_peer",
            Self::RemovePeer { .. } => "remove_peer",
            Self::WaitPeers { .. } => "wait_peers",
            Self::Transport {} => "transport",
            Self::SetMinpow { .. } => "set_minpow",
            Self::JoinPublic { .. } => "join_public",
            Self::LeavePublic { .. } => "leave_public",
            Self::SendPublic(_) => "send_public",
            Self::Chats {} => "chats",
            Self::Messages { .. } => "messages",
            Self::Quit {} => "quit",
        }
    }
}

impl Refused {
    /// Returns the reply to such a line.
    pub(super) fn reply(self) -> Value {
        let Self { id, cmd, error } = self;
        json!({ "id": id, "cmd": cmd, "ok": false, "us": 0, "error": error })
    }
}

/// Reads a line.
///
/// # Errors
/// [`Refused`], with the id of the line where it has one.
pub(super) fn parse(line: &str) -> Result<Request, Refused> {
    let refused = |error| Refused { id: Value::Null, cmd: Value::Null, error };
    let mut arguments: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| refused(format!("no JSON object: {error}")))?;
    let id = arguments.remove("id").unwrap_or_default();
    let cmd = arguments.remove("cmd").unwrap_or_default();
    let command = match &cmd {
        Value::String(name) => {
            let tagged = Map::from_iter([(name.clone(), Value::Object(arguments))]);
            serde_json::from_value(Value::Object(tagged)).map_err(|error| error.to_string())
        }
        _ => Err("a command is {\"id\": any, \"cmd\": name, arguments}; `cardinal bot --help` lists them".to_owned()),
    };
    match command {
        Ok(command) => Ok(Request { id, command }),
        Err(error) => Err(Refused { id, cmd, error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> Value {
        parse(line).unwrap_err().reply()
    }

    #[test]
    fn a_command_comes_with_its_id_and_arguments() {
        let request = parse(r#"{"id":[1,"x"],"cmd":"messages","chat":"demo","limit":7}"#).unwrap();
        assert_eq!(request.id, json!([1, "x"]));
        assert_eq!(request.command, Command::Messages { chat: "demo".to_owned(), limit: Some(7) });
        assert!(parse(r#"{"cmd":"info"}"#).unwrap().id.is_null());
    }

    #[test]
    fn every_name_is_the_one_that_is_read_and_that_help_lists() {
        for name in [
            r#"{"cmd":"info"}"#,
            r#"{"cmd":"peers"}"#,
            r#"{"cmd":"add_peer","enode":"e"}"#,
            r#"{"cmd":"remove_peer","enode":"e"}"#,
            r#"{"cmd":"wait_peers","count":2}"#,
            r#"{"cmd":"transport"}"#,
            r#"{"cmd":"set_minpow","pow":0.5}"#,
            r#"{"cmd":"join_public","chat":"c"}"#,
            r#"{"cmd":"leave_public","chat":"c"}"#,
            r#"{"cmd":"send_public","chat":"c","text":"t","count":3,"response_to":"0x"}"#,
            r#"{"cmd":"chats"}"#,
            r#"{"cmd":"messages","chat":"c"}"#,
            r#"{"cmd":"quit"}"#,
        ] {
            let asked: Value = serde_json::from_str(name).unwrap();
            let read = parse(name).unwrap().command.name();
            assert_eq!(asked["cmd"], read);
            assert!(crate::bot::INTERFACE.contains(read), "{read}");
        }
    }

    #[test]
    fn what_does_not_exist_is_refused_by_naming_what_does() {
        let reply = refused(r#"{"id":3,"cmd":"send_1to1","to":"0x04"}"#);
        assert_eq!((&reply["id"], &reply["cmd"], &reply["ok"]), (&json!(3), &json!("send_1to1"), &json!(false)));
        let error = reply["error"].as_str().unwrap();
        assert!(error.contains("send_1to1") && error.contains("send_public") && error.contains("quit"), "{error}");
        let error = refused(r#"{"cmd":"send_public","chat":"c","text":"t","image_path":"p"}"#)["error"].to_string();
        assert!(error.contains("image_path") && error.contains("response_to"), "{error}");
        assert!(refused(r#"{"cmd":"peers","x":1}"#)["error"].to_string().contains("x"));
        assert!(refused(r#"{"cmd":"join_public"}"#)["error"].to_string().contains("chat"));
    }

    #[test]
    fn a_malformed_line_is_refused() {
        for line in ["x", "[]", "{", "null", "{\"cmd\":7}", "{}", "{\"cmd\":\"info\"}{}", &"[".repeat(60_000)] {
            assert_eq!(refused(line)["ok"], false, "{line}");
        }
        assert_eq!(refused(r#"{"id":"mine","cmd":null}"#)["id"], "mine");
    }
}
