//! `local-stack`: what it leads its command to, and what it leaves behind.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use cli_tests::{Run, World, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Runs `script` on a stack of its own; its temporary files are in the world's
/// folder, so that what is left can be seen.
fn run(world: &World, script: &str) -> Command {
    // Postgres may run as another user, for whom this has to be like /tmp.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    std::fs::set_permissions(world.folder(), mode).expect("permissions");
    let mut command = world.tool("local-stack", &["run", "--", "sh", "-c", script]);
    command.env("TMPDIR", world.folder()).current_dir(cli_tests::workspace());
    command
}

fn left_behind(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.folder()).expect("folder");
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn is_alive(pid: i32) -> bool {
    // A zombie has ended.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or_else(
        |_| !std::path::Path::new("/proc/self").exists() && kill(Pid::from_raw(pid), None).is_ok(),
        |stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
    )
}

#[test]
fn a_command_gets_the_stack_and_nothing_else() {
    let world = World::empty();
    let mut command = run(&world, "env");
    for variable in [
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "PGHOST",
        "OPS_LOCAL_HOSTS",
        "DDB_MESSAGE_TABLE",
        "PROD_CONNECTION_URL",
    ] {
        command.env(variable, "leftover");
    }
    let run = Run::of(command).succeeds();
    assert!(!run.stdout.contains("leftover"), "{run}");
    let value = |name: &str| {
        let line = run.stdout.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("no {name}\n{run}")).to_owned()
    };
    assert!(value("AWS_ENDPOINT_URL_DYNAMODB").starts_with("http://127.0.0.1:"));
    assert!(value("CONNECTION_URL").starts_with("postgresql://postgres:password@127.0.0.1:"));
    assert!(value("CONNECTION_URL").ends_with("/cruddur"));
    assert_eq!(value("AWS_REGION"), "us-east-1");
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        assert!(value(name).chars().all(char::is_alphanumeric));
    }
    if cli_tests::python().is_some() {
        let cognito = value("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER");
        assert!(cognito.starts_with("http://127.0.0.1:"));
        assert_eq!(value("AWS_ENDPOINT_URL_STS"), cognito);
        assert!(value("AWS_COGNITO_USER_POOL_ID").starts_with("us-east-1_"));
    }
    assert_eq!(left_behind(&world), Vec::<String>::new());
}

#[test]
fn the_main_job_runs_on_it() {
    let world = World::empty();
    let folder = cli_tests::binary("ddb-seed").parent().expect("folder").display().to_string();
    let script = format!(
        "PATH={folder}:$PATH; db-setup && ddb-schema-load && ddb-seed && ddb-get-conversation --limit 1"
    );
    Run::of(run(&world, &script)).succeeds().prints("seeded 104 messages").prints("the heron");
}

#[test]
fn its_pool_has_the_seeded_people_and_one_without_a_handle() {
    let Some(_) = cli_tests::python() else { return };
    let world = World::empty();
    let folder = cli_tests::binary("ddb-seed").parent().expect("folder").display().to_string();
    let script = format!(
        "PATH={folder}:$PATH; db-setup && update-cognito-user-ids --check && cognito-list-users --output jsonl"
    );
    let run = Run::of(run(&world, &script)).succeeds();
    run.clone().prints("4 ids updated, 0 unchanged").says("5 users, 1 of them without");
    for handle in ["jess-bk", "bayko", "maren", "tariq"] {
        assert!(run.stdout.contains(&format!("\"handle\":\"{handle}\"")), "{run}");
    }
    assert!(run.stdout.contains("\"handle\":null"), "{run}");
    assert_eq!(left_behind(&world), Vec::<String>::new());
}

/// Everything else works, and the missing part is said in one line.
#[test]
fn without_python_it_goes_on_without_cognito() {
    let world = World::empty();
    drop(World::postgres());
    checkout(&world, &["npm"]);
    // What is on the PATH, but for Python.
    let bin = world.folder().join("bin");
    std::fs::create_dir(&bin).expect("folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    for program in ["sh", "env", "rm", "initdb", "postgres"] {
        let found = std::env::split_paths(&path).map(|folder| folder.join(program));
        if let Some(found) = found.into_iter().find(|file| file.is_file()) {
            std::os::unix::fs::symlink(found, bin.join(program)).expect("link");
        }
    }
    let mut command = world.tool("local-stack", &["run", "--", "sh", "-c", "env"]);
    command.env("PATH", bin);
    let run =
        Run::of(command).succeeds().prints("CONNECTION_URL=").prints("AWS_ENDPOINT_URL_DYNAMODB=");
    assert!(!run.stdout.contains("COGNITO"), "{run}");
    assert_eq!(run.stderr, "without Cognito: there is no `python3`\n");
}

#[test]
fn the_commands_status_is_passed_on() {
    let world = World::empty();
    assert_eq!(Run::of(run(&world, "exit 7")).status, Some(7));
    assert_eq!(Run::of(run(&world, "kill -TERM $$")).status, Some(128 + 15));
    world.run("local-stack", &["run"]).ends_with(2);
    let mut command = world.tool("local-stack", &["run", "--", "no-such-command"]);
    command.current_dir(cli_tests::workspace());
    Run::of(command).ends_with(1).says("error: cannot run `no-such-command`");
}

/// Starts a stack whose command says where the server is and then waits.
fn start_and_wait(world: &World) -> (std::process::Child, i32) {
    let mut command =
        run(world, "echo $CONNECTION_URL; sleep 600 & echo $! > \"$TMPDIR/sleeper\"; wait");
    // A group of its own, as a terminal gives it.
    let child = command
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("spawn");
    let mut server = 0;
    wait_for("the server", || {
        let pid_file =
            left_behind(world).into_iter().find(|name| name.starts_with("cruddur-ops-postgres-"));
        // The shell makes the file before it writes the number.
        let started = sleeper(world).is_some();
        let Some(folder) = pid_file.filter(|_| started) else { return false };
        let text = std::fs::read_to_string(world.folder().join(folder).join("data/postmaster.pid"))
            .unwrap_or_default();
        server = text.lines().next().and_then(|line| line.parse().ok()).unwrap_or(0);
        server != 0
    });
    assert!(is_alive(server));
    (child, server)
}

fn gone(world: &World, server: i32) {
    wait_for("the end of the server", || !is_alive(server));
    wait_for("the end of its folder", || left_behind(world) == ["sleeper"]);
}

fn sleeper(world: &World) -> Option<Pid> {
    let text = std::fs::read_to_string(world.folder().join("sleeper")).ok()?;
    text.strip_suffix('\n')?.parse().ok().map(Pid::from_raw)
}

fn kill_sleeper(world: &World) {
    let _ = kill(sleeper(world).expect("a pid"), Signal::SIGKILL);
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let world = World::empty();
    let (mut child, server) = start_and_wait(&world);
    let group = Pid::from_raw(-i32::try_from(child.id()).expect("pid"));
    kill(group, Signal::SIGINT).expect("interrupt");
    let status = child.wait().expect("wait");
    assert_eq!(status.code(), Some(130));
    gone(&world, server);
    kill_sleeper(&world);
}

#[test]
fn termination_ends_the_command_and_leaves_nothing_behind() {
    let world = World::empty();
    let (mut child, server) = start_and_wait(&world);
    kill(Pid::from_raw(i32::try_from(child.id()).expect("pid")), Signal::SIGTERM)
        .expect("terminate");
    assert_eq!(child.wait().expect("wait").code(), Some(128 + 15));
    gone(&world, server);
    kill_sleeper(&world);
}

#[test]
fn a_kill_leaves_no_server_and_no_cluster() {
    let world = World::empty();
    let (mut child, server) = start_and_wait(&world);
    child.kill().expect("kill");
    let _ = child.wait();
    gone(&world, server);
    kill_sleeper(&world);
}

/// A checkout of its own in the world's folder, with downloads of this one.
fn checkout(world: &World, downloads: &[&str]) {
    let state = world.folder().join(".local-stack");
    std::fs::create_dir(&state).expect("folder");
    let ours = local_stack::state_folder().expect("folder");
    for download in downloads {
        std::os::unix::fs::symlink(ours.join(download), state.join(download)).expect("link");
    }
    std::fs::write(world.folder().join("Cargo.lock"), "").expect("a checkout");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(world.folder(), mode).expect("permissions");
}

/// One test, since `up` takes fixed ports.
#[test]
fn up_keeps_its_data_and_ends_clean() {
    let world = World::empty();
    // Downloads Postgres, where none is installed.
    drop(World::postgres());
    let has_cognito = cli_tests::python().is_some();
    let python = local_stack::python_environment().expect("folder");
    checkout(&world, &["npm", python.file_name().and_then(|name| name.to_str()).expect("a name")]);
    if [8000, 5432, 9229].iter().any(|port| TcpListener::bind(("127.0.0.1", *port)).is_err()) {
        return cli_tests::cannot_run("`local-stack up`: port 8000, 5432 or 9229 is taken");
    }
    let up = || {
        let log = world.folder().join("log");
        let mut command = world.tool("local-stack", &["up"]);
        let child =
            command.stderr(std::fs::File::create(&log).expect("log")).spawn().expect("spawn");
        wait_for("the stack", || {
            std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Ctrl-C stops it"))
        });
        child
    };
    let stop = |mut child: std::process::Child| {
        kill(Pid::from_raw(i32::try_from(child.id()).expect("pid")), Signal::SIGINT)
            .expect("interrupt");
        assert_eq!(child.wait().expect("wait").code(), Some(0));
        assert!(!pid_file(&world).exists());
    };
    // What needs no setting at all.
    let child = up();
    world.run("db-setup", &[]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-seed", &[]).succeeds();
    let users = has_cognito.then(|| users_of_up(&world));
    world
        .run("local-stack", &["up"])
        .ends_with(1)
        .says("error: a `local-stack up` is running in this checkout already");
    stop(child);
    world.run("ddb-list-tables", &[]).ends_with(1).says("connection refused");

    // The data are there the next time; a `postmaster.pid` that a killed run
    // left is cleared, whoever has its process id now.
    std::fs::write(pid_file(&world), format!("{}\n", std::process::id())).expect("a leftover");
    let child = up();
    world.run("ddb-get-conversation", &["--limit", "1"]).succeeds().prints("the heron");
    world.run("ddb-list-conversations", &[]).succeeds().prints("bayko");
    // Cognito's users are new, and the same: what was carried over stays good.
    assert_eq!(has_cognito.then(|| users_of_up(&world)), users);
    let log = std::fs::read_to_string(world.folder().join("log")).expect("log");
    assert!(log.contains("clearing the `postmaster.pid` that a killed run left"), "{log}");

    // Killed outright: the server ends, and the next run starts.
    let text = std::fs::read_to_string(pid_file(&world)).expect("pid file");
    let server = text.lines().next().and_then(|line| line.parse().ok()).expect("pid");
    let mut child = child;
    child.kill().expect("kill");
    let _ = child.wait();
    wait_for("the end of the server", || !is_alive(server));
    stop(up());

    // Postgres ends by itself: no half stack stays.
    let mut child = up();
    let text = std::fs::read_to_string(pid_file(&world)).expect("pid file");
    let server = text.lines().next().and_then(|line| line.parse().ok()).expect("pid");
    kill(Pid::from_raw(server), Signal::SIGINT).expect("stop the server");
    assert_eq!(child.wait().expect("wait").code(), Some(1));
    let log = std::fs::read_to_string(world.folder().join("log")).expect("log");
    assert!(log.contains("error: Postgres has ended by itself"), "{log}");

    // A port that is taken: named, and nothing is started.
    for port in [8000_u16, 5432] {
        let _mine = TcpListener::bind(("127.0.0.1", port)).expect("the port");
        world
            .run("local-stack", &["up"])
            .ends_with(1)
            .says(&format!("error: cannot listen on 127.0.0.1:{port}"))
            .says(&format!("ss -ltnp 'sport = :{port}'"));
        assert!(!pid_file(&world).exists());
        for port in [8000_u16, 5432].into_iter().filter(|other| *other != port) {
            drop(TcpListener::bind(("127.0.0.1", port)).expect("nothing was started"));
        }
    }

    // Node's debugger has the same port as Cognito: no reason for no stack.
    let _mine = TcpListener::bind(("127.0.0.1", 9229)).expect("the port");
    let child = up();
    world.run("ddb-get-conversation", &["--limit", "1"]).succeeds();
    let log = std::fs::read_to_string(world.folder().join("log")).expect("log");
    assert!(log.contains("without Cognito: cannot listen on 127.0.0.1:9229"), "{log}");
    stop(child);
}

/// What `up` says to export, used as it says: the users of its pool.
fn users_of_up(world: &World) -> String {
    let log = std::fs::read_to_string(world.folder().join("log")).expect("log");
    let mut command = world.tool("cognito-list-users", &["--output", "map"]);
    let exports = log.lines().filter_map(|line| line.trim().strip_prefix("export "));
    command.envs(exports.filter_map(|export| export.split_once('=')));
    Run::of(command).ends_with(3).prints("\"bayko\": ").stdout
}

fn pid_file(world: &World) -> std::path::PathBuf {
    world.folder().join(".local-stack/postgres/postmaster.pid")
}

/// `kill -INT` of this process alone, as a supervisor does it.
#[test]
fn an_interrupt_without_a_terminal_is_passed_on() {
    let world = World::empty();
    let (mut child, server) = start_and_wait(&world);
    kill(Pid::from_raw(i32::try_from(child.id()).expect("pid")), Signal::SIGINT)
        .expect("interrupt");
    assert_eq!(child.wait().expect("wait").code(), Some(130));
    gone(&world, server);
    kill_sleeper(&world);
}
