//! A socket that was handed over, and a service manager that listens.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};

use proto::rpc::Fault;
use proto::rpc::api::keymgr_client::KeymgrClient;
use proto::rpc::socket;

use crate::world::{PATIENCE, PROGRAM, Running, World, status};

/// The program as a service manager starts it, with this as descriptor 3.
fn handed(world: &World, descriptor: OwnedFd, extra: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=keymgr; export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; \
                  exec \"$0\" \"$@\" 3<&0 </dev/null";
    command.args(["-c", script, PROGRAM]).args(world.arguments()).args(extra);
    command.stdin(descriptor).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Returns the text of the next datagram.
fn heard(hears: &UnixDatagram) -> String {
    let mut room = [0; 256];
    let length = hears.recv(&mut room).unwrap();
    String::from_utf8(room[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn a_socket_that_was_handed_over_is_served_and_stays_and_the_service_manager_hears_of_it() {
    let world = World::new();
    std::fs::create_dir(world.path("system")).unwrap();
    let path = world.path("system/keymgr.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let hears = UnixDatagram::bind(world.path("notify")).unwrap();
    hears.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = handed(&world, listener.try_clone().unwrap().into(), &[]);
    command.env("NOTIFY_SOCKET", world.path("notify")).env("WATCHDOG_USEC", "100000");
    let running = Running::ready(command);
    assert!(heard(&hears).starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(heard(&hears), "WATCHDOG=1");
    }
    let mut client = KeymgrClient::new(socket::connect(&path).await.unwrap());
    assert_eq!(status(&mut client).await.pid, running.pid());
    drop(client);
    running.stop();
    let last = std::iter::repeat_with(|| heard(&hears)).find(|text| text != "WATCHDOG=1").unwrap();
    assert!(last.starts_with("STOPPING=1\n"), "{last}");
    assert!(path.exists(), "whoever made the socket keeps it");
    // A client that comes between two runs waits in the socket, and the next run answers it.
    let early = socket::connect(&path).await.unwrap();
    let again = Running::ready(handed(&world, listener.into(), &[]));
    assert_eq!(status(&mut KeymgrClient::new(early)).await.pid, again.pid());
    again.stop();
}

#[test]
fn what_is_handed_over_and_is_no_listening_socket_is_named() {
    let world = World::new();
    let fails = |descriptor: OwnedFd, extra: &[&str], says: &str| {
        let output = handed(&world, descriptor, extra).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(Fault::BadInput.exit_code())), "{said}");
        assert!(said.contains(says), "{said}");
    };
    fails(std::fs::File::open("/dev/null").unwrap().into(), &[], "descriptor 3 is no socket");
    fails(UnixDatagram::bind(world.path("d")).unwrap().into(), &[], "descriptor 3 is no stream socket");
    fails(std::net::TcpListener::bind("127.0.0.1:0").unwrap().into(), &[], "a socket of the network");
    let listener = UnixListener::bind(world.path("s")).unwrap();
    fails(listener.into(), &["--socket", "/elsewhere/x.sock"], "not /elsewhere/x.sock");
    let by_hand = Command::new(PROGRAM).args(world.arguments()).stdin(Stdio::null()).output().unwrap();
    assert!(String::from_utf8(by_hand.stderr).unwrap().contains("say which socket to serve"));
}
