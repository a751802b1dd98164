//! Who may call what, and what is known of a caller's program: DESIGN section 9, attack 22.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant as Moment;

use proto::rpc::api::cards_client::CardsClient;
use proto::rpc::api::policies_client::PoliciesClient;
use proto::rpc::api::{
    CardAccess, DescribeRequest, KeymgrStatusRequest, ReloadPolicyRequest, Sealed, SealingKeyRequest, SignRequest,
    UnlockRequest,
};
use proto::rpc::{Fault, SealingKey};
use tonic::{Code, Request, Status};

use super::service::Running;
use super::*;
use crate::caller::{Asker, Doubt, Programs};
use crate::front::Front;

/// A user that is not ours, whatever ours is.
const STRANGER: u32 = 4_000_000_000;

/// A front whose every connection comes from that user, with no process that could be looked at.
fn of_a_stranger() -> Front {
    Front { kernel: |_| Some(Asker::new(STRANGER, None)), ..Front::default() }
}

fn refused<V>(result: Result<V, Status>, says: &str) {
    let status = result.err().unwrap();
    assert_eq!(Fault::of(&status), Some(Fault::Refused), "{status}");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains(says), "{status}");
}

/// Everything that a user who is named nowhere can call.
#[tokio::test]
async fn attack_a_client_of_another_uid_is_refused_with_a_reason_before_anything_is_read() {
    let world = World::new();
    drop(world.enrolled());
    let mut running = Running::start_with(&world, of_a_stranger()).await;
    let (commands, entries) = (world.reader.commands(), world.log.report().entries());
    let says = "nor a client";
    refused(running.client.status(KeymgrStatusRequest {}).await, says);
    refused(running.client.sealing_key(SealingKeyRequest {}).await, says);
    refused(running.export(CHAT, crate::policy::CHAT_PURPOSE).await, says);
    let unlock = UnlockRequest { pin: Some(Sealed::default()), ..UnlockRequest::default() };
    refused(running.client.unlock(unlock).await, says);
    refused(CardsClient::new(running.channel.clone()).describe(DescribeRequest::default()).await, says);
    refused(PoliciesClient::new(running.channel.clone()).reload(ReloadPolicyRequest {}).await, says);
    // What is no message at all is refused for the same reason: nobody tried to read it.
    let unheard = "/cardinal.local.v1.Keymgr/Nothing".parse().unwrap();
    let mut grpc = tonic::client::Grpc::new(running.channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<KeymgrStatusRequest, KeymgrStatusRequest>::default();
    refused(grpc.unary(Request::new(KeymgrStatusRequest {}), unheard, codec).await, says);
    assert_eq!((world.reader.commands(), world.log.report().entries()), (commands, entries));
    running.stop().await;
}

/// Attack 22 (a vault that took an identity from the caller's own words): nothing in a request names anybody.
#[tokio::test]
async fn attack_22_a_client_that_lies_about_itself_is_who_the_kernel_says() {
    let world = World::new();
    allow(&world, CHAT, "private");
    allow(&world, "m/44'/60'/0'/0/0", "sign");
    let file = world.dir.path().join("policy.toml");
    let ours = format!("uid = {}", rustix::process::geteuid().as_raw());
    let policy = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, policy.replace(&ours, &format!("uid = {STRANGER}"))).unwrap();
    drop(world.enrolled());
    let mut running = Running::start_with(&world, of_a_stranger()).await;
    running.client.status(KeymgrStatusRequest {}).await.unwrap();
    let lie = |name: &'static str| {
        let caller = SealingKey::generate(&mut dice()).public().to_vec();
        let (path, purpose) = (CHAT.to_owned(), "x".to_owned());
        let request = proto::rpc::api::ExportPrivateRequest { path, purpose, caller, target: None };
        let mut request = Request::new(request);
        request.metadata_mut().insert(name, "0".parse().unwrap());
        request
    };
    for name in ["uid", "x-uid", "x-forwarded-user", "authorization", "cardinal-uid"] {
        let answer = running.client.export_private(lie(name)).await;
        assert_eq!(
            answer.err().and_then(|status| Fault::of(&status)),
            Some(Fault::Locked),
            "the rule is for {STRANGER}"
        );
    }
    // It may ask for what its rules name, and for nothing that is its owner's.
    let says = "for its owner";
    refused(running.client.sealing_key(SealingKeyRequest {}).await, says);
    refused(running.client.lock(proto::rpc::api::LockRequest::default()).await, says);
    let mut cards = CardsClient::new(running.channel.clone());
    refused(cards.describe(DescribeRequest::default()).await, says);
    refused(PoliciesClient::new(running.channel.clone()).reload(ReloadPolicyRequest {}).await, says);
    let (path, hash, purpose) = ("m/44'/60'/0'/0/0".to_owned(), vec![7; 32], "x".to_owned());
    for access in [
        CardAccess { pin: Some(Sealed::default()), ..CardAccess::default() },
        CardAccess { confirm: "0000-0000-0000-0000".to_owned(), ..CardAccess::default() },
        CardAccess { first_pairing: true, ..CardAccess::default() },
    ] {
        let (path, hash, purpose) = (path.clone(), hash.clone(), purpose.clone());
        let request = SignRequest { access: Some(access), path, hash, purpose, ..SignRequest::default() };
        refused(cards.sign(request).await, "only the owner");
    }
    drop(cards);
    running.stop().await;
    assert!(!world.log.story().iter().any(|line| line.contains("uid 0 ")), "{:?}", world.log.story());
}

/// A process that a test lets go on, and ends.
struct Peer(Child);

impl Peer {
    fn start(program: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        Self(command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn asker(&self) -> Asker {
        Asker::new(rustix::process::geteuid().as_raw(), i32::try_from(self.0.id()).ok())
    }

    /// Waits until it runs this program.
    fn runs(&self, program: &Path) {
        let end = Moment::now() + Duration::from_secs(10);
        let exe = format!("/proc/{}/exe", self.0.id());
        while std::fs::read_link(&exe).ok().as_deref() != Some(program) {
            assert!(Moment::now() < end, "{}", program.display());
            std::thread::yield_now();
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Copies a program of the system into a folder.
fn copy_of(program: &str, dir: &Path, name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file()).unwrap();
    let copy = dir.join(name);
    std::fs::copy(found, &copy).unwrap();
    copy
}

/// A policy for one program, and what it says of a caller.
fn decided(policy: &str, caller: &Caller, doubt: Option<&Doubt>) -> crate::policy::Decision {
    let policy = Policy::parse(policy).unwrap();
    let question = crate::policy::Question::of(&audit::Asked::Private(path(CHAT))).unwrap();
    let request = crate::policy::Request {
        caller,
        doubt,
        question: &question,
        purpose: &"x".parse().unwrap(),
        about: &crate::policy::About::default(),
        at: UnixMillis::new(0),
    };
    policy.decide(&request, &crate::policy::History::default())
}

fn only_for(program: &Path) -> String {
    format!(
        "[[client]]\nname = \"it\"\nuid = {}\nbinary = \"{}\"\nsha256 = \"{}\"\n[[key]]\nname = \"chat\"\npath = \"{CHAT}\"\n\
         mode = \"export\"\nclients = [\"it\"]\npurposes = [\"x\"]\n",
        rustix::process::geteuid().as_raw(),
        program.display(),
        hex::encode(crate::caller::hash_of(program).unwrap())
    )
}

#[tokio::test]
async fn attack_a_client_that_becomes_another_binary_after_connecting_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let shell = copy_of("sh", &dir, "first");
    let trusted = copy_of("sleep", &dir, "trusted");
    let mut peer = Peer::start(&shell, &["-c", "read line; exec \"$0\" 60", trusted.to_str().unwrap()]);
    peer.runs(&shell);
    let (programs, asker) = (Programs::default(), peer.asker());
    let (caller, doubt) = programs.caller(&asker, None).await;
    assert_eq!((caller.binary.unwrap().as_str(), doubt), (shell.to_str().unwrap(), None));
    peer.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    peer.runs(&trusted);
    let (caller, doubt) = programs.caller(&asker, None).await;
    assert_eq!(doubt, Some(Doubt::Became { before: shell.display().to_string() }));
    assert!(caller.binary.as_ref().unwrap().as_str().contains("when it connected"), "the log tells");
    let decision = decided(&only_for(&trusted), &caller, doubt.as_ref());
    let crate::policy::Decision::Refused(reason) = decision else { panic!("{decision:?}") };
    assert!(reason.to_string().contains("when it connected"), "{reason}");
    // One that connects as that program is it.
    let (caller, doubt) = programs.caller(&peer.asker(), None).await;
    assert!(matches!(decided(&only_for(&trusted), &caller, doubt.as_ref()), crate::policy::Decision::Allowed { .. }));
}

#[tokio::test]
async fn attack_a_binary_that_is_replaced_after_its_start_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let program = copy_of("sleep", &dir, "program");
    let policy = only_for(&program);
    let peer = Peer::start(&program, &["60"]);
    peer.runs(&program);
    let (programs, asker) = (Programs::default(), peer.asker());
    let (caller, doubt) = programs.caller(&asker, None).await;
    assert!(matches!(decided(&policy, &caller, doubt.as_ref()), crate::policy::Decision::Allowed { .. }));
    let hash = caller.binary_hash;
    std::fs::rename(copy_of("sh", &dir, "other"), &program).unwrap();
    let (caller, doubt) = programs.caller(&asker, None).await;
    assert_eq!(doubt, Some(Doubt::Deleted));
    assert!(caller.binary.as_ref().unwrap().as_str().ends_with("(deleted)"));
    assert_eq!(caller.binary_hash, hash, "of the program that runs, not of the file at its path");
    assert!(matches!(decided(&policy, &caller, doubt.as_ref()), crate::policy::Decision::Refused(_)));
}

#[tokio::test]
async fn attack_a_process_that_ended_or_whose_number_another_one_has_is_not_taken_for_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let program = copy_of("sleep", &dir, "program");
    let peer = Peer::start(&program, &["60"]);
    peer.runs(&program);
    let (programs, asker) = (Programs::default(), peer.asker());
    assert_eq!(programs.caller(&asker, None).await.1, None);
    drop(peer);
    let (caller, doubt) = programs.caller(&asker, None).await;
    assert_eq!((caller.binary, caller.binary_hash, doubt), (None, None, Some(Doubt::Gone)));
    let nobody = Asker::new(7, None);
    assert_eq!(programs.caller(&nobody, None).await.1, Some(Doubt::NoProcess));
}
