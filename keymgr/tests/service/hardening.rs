//! What the kernel says of a manager that runs.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use proto::rpc::Fault;

use crate::world::{Running, World, kernel_says, status};

fn children_of(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_running_manager_is_filtered_and_shows_what_is_in_force() {
    let world = World::new();
    let running = world.start(&[]);
    for (field, value) in [("Seccomp", "2"), ("NoNewPrivs", "1")] {
        assert_eq!(running.kernel_says(field), value, "{field}");
        for task in std::fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap() {
            let id = task.unwrap().file_name().into_string().unwrap().parse().unwrap();
            assert_eq!(kernel_says(id, field), value, "{field} of each thread");
        }
    }
    let witness = children_of(running.pid());
    assert_eq!(witness.len(), 1, "the witness, and nothing else");
    assert_eq!(kernel_says(witness[0], "Seccomp"), "2", "which is filtered too");
    let status = status(&mut world.client().await).await;
    let names: Vec<&str> = status.hardening.iter().map(|measure| measure.name.as_str()).collect();
    assert_eq!(names, ["no-core", "locked-memory", "no-new-privileges", "no-capabilities", "files", "system-calls"]);
    for measure in &status.hardening {
        assert_eq!(measure.in_force, measure.missing.is_empty(), "{}", measure.name);
        // What depends on the machine is in force here, or says why not.
        assert!(measure.in_force || matches!(measure.name.as_str(), "files" | "locked-memory"), "{}", measure.missing);
    }
    let locked = status.hardening.iter().any(|measure| measure.name == "locked-memory" && measure.in_force);
    assert_eq!(running.kernel_says("VmLck") != "0 kB", locked);
    let said = running.stop();
    assert_eq!(said.contains("not hardened"), status.hardening.iter().any(|measure| !measure.in_force), "{said}");
}

#[test]
fn a_manager_that_must_be_hardened_and_cannot_be_does_not_start() {
    let world = World::new();
    // A bound on locked memory that nobody but the administrator can lift.
    let mut command = Command::new("sh");
    let drop_rights =
        if rustix::process::geteuid().is_root() { "setpriv --bounding-set=-ipc_lock,-sys_resource" } else { "" };
    let script = format!("ulimit -l 64 && exec {drop_rights} \"$0\" \"$@\"");
    command.args(["-c", &script, crate::world::PROGRAM]).args(world.arguments());
    command.arg("--socket").arg(world.socket()).arg("--require-hardening");
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(i32::from(Fault::NotHardened.exit_code())), "{said}");
    assert!(
        said.contains("--require-hardening: not in force: locked-memory: RLIMIT_MEMLOCK allows 65536 bytes"),
        "{said}"
    );
    assert!(!world.path("export.log").exists(), "nothing was begun");
}

#[test]
fn attack_a_server_serves_no_socket_that_is_a_link_or_in_a_folder_that_others_enter() {
    let world = World::new();
    let refused = |says: &str| {
        let output = world.command(&[]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(Fault::BadInput.exit_code())), "{said}");
        assert!(said.contains(says), "{said}");
    };
    let run = world.path("run");
    std::fs::create_dir(&run).unwrap();
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o755)).unwrap();
    refused("must belong to you with mode 0700");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(world.path("victim"), "x").unwrap();
    symlink(world.path("victim"), world.socket()).unwrap();
    refused("a symbolic link; remove it");
    std::fs::remove_file(world.socket()).unwrap();
    std::fs::write(world.socket(), "not a socket").unwrap();
    refused("no socket; remove it");
    assert_eq!(std::fs::read(world.socket()).unwrap(), b"not a socket", "what is there stays");
    std::fs::remove_file(world.socket()).unwrap();
    std::fs::remove_dir(&run).unwrap();
    std::fs::create_dir(world.path("real")).unwrap();
    symlink(world.path("real"), &run).unwrap();
    refused("must belong to you with mode 0700");
    assert_eq!(std::fs::read(world.path("victim")).unwrap(), b"x");
    std::fs::remove_file(&run).unwrap();
    Running::ready(world.command(&[])).stop();
}
